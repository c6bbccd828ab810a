// Numbers as a person reads them, and a short way to make elements.

const BINARY = ["B", "KiB", "MiB", "GiB"];

export function bytes(count) {
  let power = 0;
  while (count >= 1024 && power < BINARY.length - 1) {
    count /= 1024;
    power += 1;
  }
  return `${count.toFixed(count >= 100 || power === 0 ? 0 : 1)} ${BINARY[power]}`;
}

export function seconds(value) {
  if (value >= 10) return `${value.toFixed(0)} s`;
  return value >= 1 ? `${value.toFixed(1)} s` : `${Math.round(value * 1000)} ms`;
}

export function percent(share) {
  const value = share * 100;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}

// Text is always text: nothing that comes from a server or a file is ever read as HTML.
export function element(tag, { text, className, ...properties } = {}, children = []) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export const $ = (id) => document.getElementById(id);
