/** VS Code's theme, as canvases need it: resolved colours that follow the theme. */

export interface Theme {
  background: string;
  foreground: string;
  muted: string;
  /** Of marks that are not to stand out. */
  fill: string;
  /** Of grid lines: fainter than borders, in high contrast too. */
  grid: string;
  border: string;
  accent: string;
  focus: string;
  /** Two categorical colours that stay apart with any colour vision. */
  first: string;
  second: string;
  fontFamily: string;
  highContrast: boolean;
}

export function readTheme(): Theme {
  return forcedColors.matches ? { ...readVsCodeTheme(), ...systemColors } : readVsCodeTheme();
}

// Where the system forces its colours on the page, canvases must take the same ones.
const forcedColors = matchMedia('(forced-colors: active)');
const systemColors = {
  background: 'Canvas',
  foreground: 'CanvasText',
  muted: 'CanvasText',
  fill: 'CanvasText',
  grid: 'GrayText',
  border: 'CanvasText',
  focus: 'Highlight',
  highContrast: true,
};

function readVsCodeTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string, fallback: string) => style.getPropertyValue(name).trim() || fallback;
  const body = document.body.classList;
  const highContrast =
    body.contains('vscode-high-contrast') || body.contains('vscode-high-contrast-light');
  const foreground = color('--vscode-foreground', '#888');
  const background = color('--vscode-editor-background', '#1e1e1e');
  const mix = (percent: number) => `color-mix(in srgb, ${foreground} ${percent}%, ${background})`;
  return {
    background,
    foreground,
    fill: highContrast ? foreground : mix(55),
    grid: mix(highContrast ? 30 : 14),
    muted: highContrast ? foreground : color('--vscode-descriptionForeground', '#888'),
    border: color('--avis-line', 'rgb(128 128 128 / 0.35)'),
    accent: color('--vscode-charts-blue', '#3794ff'),
    focus: color('--vscode-focusBorder', '#007fd4'),
    first: color('--vscode-charts-blue', '#3794ff'),
    second: color('--vscode-charts-orange', '#d18616'),
    fontFamily: color('--vscode-font-family', 'sans-serif'),
    highContrast,
  };
}

/** Calls back when VS Code switches the theme: it rewrites the root's style and the body's classes. */
export function onThemeChange(callback: () => void): void {
  const observer = new MutationObserver(callback);
  observer.observe(document.documentElement, { attributeFilter: ['style', 'class'] });
  forcedColors.addEventListener('change', callback);
  observer.observe(document.body, { attributeFilter: ['class', 'data-vscode-theme-kind'] });
}
