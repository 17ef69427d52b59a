/** A slider and a number box for one value, and a two-way choice of mode. */
import { element, freeId, setText } from './dom';

export interface LeverOptions {
  label: string;
  title: string;
  min: number;
  max: number;
  step: number;
  unit?: { symbol: string; name: string };
}

const keysStoppedMs = 300;

/**
 * @param onChange called on every movement with `final` false, and with true on release or entry.
 * A number out of range or of no meaning is put back to the nearest valid one.
 */
export function createLever(
  options: LeverOptions,
  onChange: (value: number, final: boolean) => void,
) {
  const { label, title, min, max, step, unit } = options;
  const id = freeId('lever');
  const bounds = { min, max, step };
  const name = element('label', { for: id, title }, label);
  const slider = element('input', { type: 'range', ...bounds, id, title });
  const box = element('input', {
    type: 'number',
    ...bounds,
    'aria-label': unit ? `${label} in ${unit.name}` : label,
  });
  const root = element(
    'div',
    { class: 'lever' },
    name,
    slider,
    element('span', { class: 'lever-box' }, box, unit ? element('span', {}, unit.symbol) : null),
  );
  slider.addEventListener('input', () => onChange(slider.valueAsNumber, false));
  // Every key press ends with a change event; the lever is released once they stop, or it is left.
  let byKey = false;
  let keysStopped: number | undefined;
  const release = () => {
    window.clearTimeout(keysStopped);
    keysStopped = undefined;
    onChange(slider.valueAsNumber, true);
  };
  slider.addEventListener('keydown', () => (byKey = true));
  slider.addEventListener('pointerdown', () => (byKey = false));
  slider.addEventListener('change', () => {
    window.clearTimeout(keysStopped);
    if (byKey) keysStopped = window.setTimeout(release, keysStoppedMs);
    else release();
  });
  slider.addEventListener('blur', () => {
    if (keysStopped !== undefined) release();
  });
  box.addEventListener('change', () => {
    const value = nearestValid(box.valueAsNumber, options, slider.valueAsNumber);
    box.value = String(value);
    onChange(value, true);
  });
  return {
    root,
    /** @param effect what the value leads to, for the slider's spoken value */
    render(value: number, effect = ''): void {
      const text = String(Number(value.toFixed(4)));
      if (slider.value !== text) slider.value = text;
      if (document.activeElement !== box && box.value !== text) box.value = text;
      const share = max === min ? 0 : (value - min) / (max - min);
      slider.style.setProperty('--share', `${share * 100}%`);
      const spoken = unit ? `${text} ${unit.name}` : text;
      slider.setAttribute('aria-valuetext', effect ? `${spoken}, ${effect}` : spoken);
    },
  };
}

/** The entered number within its bounds and whole where the step is; `before` where it is none. */
export function nearestValid(
  entered: number,
  { min, max, step }: { min: number; max: number; step: number },
  before: number,
): number {
  if (!Number.isFinite(entered)) return before;
  const bounded = Math.min(Math.max(entered, min), max);
  return Number.isInteger(step) ? Math.round(bounded) : bounded;
}

/** Radio buttons drawn as one control. */
export function createChoice<Value extends string>(
  label: string,
  choices: readonly { value: Value; text: string; title: string }[],
  onChoose: (value: Value) => void,
) {
  const name = freeId('choice');
  const root = element('div', { class: 'choice', role: 'radiogroup', 'aria-label': label });
  const inputs = choices.map(({ value, text, title }) => {
    const input = element('input', { type: 'radio', name, value });
    input.addEventListener('change', () => onChoose(value));
    root.append(element('label', { title }, input, element('span', {}, text)));
    return input;
  });
  return {
    root,
    render(chosen: Value): void {
      for (const input of inputs) input.checked = input.value === chosen;
    },
  };
}

export function createCheckbox(label: string, title: string, onChange: (checked: boolean) => void) {
  const input = element('input', { type: 'checkbox' });
  const text = element('span');
  setText(text, label);
  input.addEventListener('change', () => onChange(input.checked));
  return {
    root: element('label', { class: 'checkbox', title }, input, text),
    render(checked: boolean): void {
      input.checked = checked;
    },
  };
}
