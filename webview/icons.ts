import { element, svgElement } from './dom';

/** 16 × 16 line icons, drawn with the text colour. */
const paths = {
  run: 'M4.5 2.8v10.4l8-5.2z',
  stop: 'M4 4h8v8H4z',
  dice: 'M3 3h10v10H3zM5.7 5.7v.01M10.3 5.7v.01M8 8v.01M5.7 10.3v.01M10.3 10.3v.01',
  zoomIn: 'M7 2.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 0 1 0-9M10.3 10.3L14 14M4.8 7h4.4M7 4.8v4.4',
  zoomOut: 'M7 2.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 0 1 0-9M10.3 10.3L14 14M4.8 7h4.4',
  fit: 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10',
  eye: 'M1.5 8S4 3.8 8 3.8S14.5 8 14.5 8S12 12.2 8 12.2S1.5 8 1.5 8M8 6a2 2 0 1 1 0 4a2 2 0 0 1 0-4',
  compare: 'M3 5.5h9.5M10 3l2.5 2.5L10 8M13 10.5H3.5M6 8l-2.5 2.5L6 13',
  check: 'M3 8.5l3.3 3.3L13 4.5',
  cross: 'M4 4l8 8M12 4l-8 8',
  dash: 'M4 8h8',
  chevron: 'M6 4l4 4l-4 4',
  warning: 'M8 2.2L14.5 13.5h-13zM8 6.5v3.6M8 11.8v.01',
  info: 'M8 1.8a6.2 6.2 0 1 1 0 12.4a6.2 6.2 0 0 1 0-12.4M8 7.3v4M8 4.9v.01',
  history: 'M2.3 8a5.7 5.7 0 1 0 1.9-4.2L2.5 5.3M2.5 2.4v2.9h2.9M8 4.8V8l2.4 1.6',
} as const;

export type IconName = keyof typeof paths;

/** Decorative: the control that holds it carries the label. */
export function icon(name: IconName): SVGSVGElement {
  const path = svgElement('path', {
    d: paths[name],
    fill: name === 'run' || name === 'stop' ? 'currentColor' : 'none',
    stroke: 'currentColor',
    'stroke-width': name === 'dice' || name === 'info' || name === 'warning' ? 1.3 : 1.2,
    'stroke-linecap': 'round',
    'stroke-linejoin': 'round',
  });
  return svgElement(
    'svg',
    { class: 'icon', viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true' },
    path,
  );
}

/** A button that shows only an icon; the label is its name and tooltip. */
export function iconButton(name: IconName, label: string, act: () => void): HTMLButtonElement {
  const button = element(
    'button',
    { class: 'icon-button', type: 'button', title: label, 'aria-label': label },
    icon(name),
  );
  button.addEventListener('click', act);
  return button;
}
