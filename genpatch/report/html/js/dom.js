// SPDX-License-Identifier: GPL-2.0-or-later
// Elements are made here and nowhere else; whatever is put into them is text.

function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === 'function') element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
    child instanceof Node ? child : document.createTextNode(String(child))));
  return element;
}

function announce(text) {
  document.getElementById('announce').textContent = text;
}

const number = (value) => value.toLocaleString('en');
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? '' : 's'}`;

function option(value, text, chosen) {
  return make('option', { value, selected: value === chosen }, text);
}

// What a kernel is called where two of the same release must be told apart.
function titleOf(kernel) {
  const title = document.getElementById(`${kernel.anchor}-title`)?.textContent ?? '';
  return `kernel ${Number(kernel.anchor.slice(1)) + 1}, ${title}`;
}
