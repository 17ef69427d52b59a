type Child = Node | string | null;
type Attributes = Record<string, string | number | boolean | null>;

/**
 * Builds an element. Strings become text nodes, never markup; an attribute that is null or false is
 * left out, true is written as an empty attribute.
 */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const node = document.createElement(name);
  setAttributes(node, attributes);
  for (const child of children) if (child !== null) node.append(child);
  return node;
}

export function svgElement<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: Node[]
): SVGElementTagNameMap[Name] {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  setAttributes(node, attributes);
  node.append(...children);
  return node;
}

function setAttributes(node: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
}

/** Writes text only where it differs, so that a selection in unchanged text survives. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node: HTMLElement, visible: boolean): void {
  node.hidden = !visible;
}

/** Wraps a section's render so that it runs only when one of its inputs is another value. */
export function whenChanged<Input extends object>(
  render: (input: Input) => void,
): (input: Input) => void {
  let last: Input | undefined;
  return (input) => {
    const before = last;
    const same =
      before !== undefined &&
      (Object.keys(input) as (keyof Input)[]).every((key) => Object.is(before[key], input[key]));
    if (same) return;
    last = input;
    render(input);
  };
}

/** A pane: a heading and a body, labelled for assistive technology. */
export function section(id: string, title: string, ...children: Child[]): HTMLElement {
  const heading = element('h2', { id: `${id}-title` }, title);
  return element(
    'section',
    { id, class: 'pane', 'aria-labelledby': heading.id },
    heading,
    ...children,
  );
}

/** One entry of a legend: a sample of the colour or hatch, and what it means. */
export function keyEntry(className: string, text: string): HTMLElement {
  return element(
    'span',
    { class: 'key-entry' },
    element('span', { class: `key ${className}` }),
    text,
  );
}

let lastLabelId = 0;

/** An id that is free in this page, for `for`, `aria-labelledby` and `aria-describedby`. */
export function freeId(prefix: string): string {
  lastLabelId += 1;
  return `${prefix}-${lastLabelId}`;
}

/** A function that keeps its last result, and gives it again for the same arguments. */
export function remember<Args extends unknown[], Result>(
  compute: (...args: Args) => Result,
): (...args: Args) => Result {
  let last: { args: Args; result: Result } | undefined;
  return (...args) => {
    const known = last;
    if (known && args.every((value, index) => Object.is(value, known.args[index]))) {
      return known.result;
    }
    const result = compute(...args);
    last = { args, result };
    return result;
  };
}
