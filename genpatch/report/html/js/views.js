// SPDX-License-Identifier: GPL-2.0-or-later
// What is in the page already and only gets handier: steps of a race that belong together, details that open.

const THEME = 'genpatch-theme';

function tieSteps() {
  for (const tie of document.querySelectorAll('.tie')) {
    const rows = [tie.closest('tr'), document.getElementById(tie.hash.slice(1))];
    const light = (on) => () => rows.forEach((row) => row?.classList.toggle('lit', on));
    for (const [event, on] of [['pointerenter', true], ['pointerleave', false], ['focus', true], ['blur', false]]) {
      tie.addEventListener(event, light(on));
    }
  }
}

function openAround(id) {
  const target = document.getElementById(id);
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
  target?.scrollIntoView();
}

function openForPrint() {
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
  addEventListener('beforeprint', () => each('details:not([open])', (details) => {
    details.open = true;
    details.dataset.closed = '';
  }));
  addEventListener('afterprint', () => each('details[data-closed]', (details) => {
    details.open = false;
    delete details.dataset.closed;
  }));
}

function themeSwitch() {
  const button = document.getElementById('theme'), root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const isDark = () => (root.dataset.theme || (dark.matches ? 'dark' : 'light')) === 'dark';
  const say = () => {
    button.textContent = isDark() ? 'Light' : 'Dark';
    button.setAttribute('aria-label', `Show the page ${isDark() ? 'light' : 'dark'}`);
  };
  const before = kept();
  if (['light', 'dark'].includes(before)) root.dataset.theme = before;
  button.hidden = false;
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    keep(root.dataset.theme);
    say();
  });
  dark.addEventListener('change', say);
  say();
}

// A page that was opened from a file may not be allowed to keep anything.
function kept() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null;
  }
}

function keep(value) {
  try {
    localStorage.setItem(THEME, value);
  } catch {
    // the choice holds until the page is closed
  }
}
