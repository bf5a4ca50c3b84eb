// SPDX-License-Identifier: GPL-2.0-or-later
// The address of the page says what it shows: "#kernel=k0&rule=GP202&site=0x...", or "#site=k0:0x...", or a chapter.

const tables = new Map();

function hashOf(wanted) {
  const kept = Object.entries(wanted).filter(([, value]) => value !== '' && value !== undefined && value !== null);
  return `#${new URLSearchParams(kept)}`;
}

function go(wanted, quiet = false) {
  const hash = hashOf(wanted);
  if (!quiet) {
    if (location.hash === hash) route(); else location.hash = hash;
    return;
  }
  history.replaceState(null, '', hash);
  route(false);
}

function route(jump = true) {
  const hash = location.hash.slice(1);
  if (!hash.includes('=')) {
    if (hash) openAround(decodeURIComponent(hash));
    return;
  }
  const wanted = Object.fromEntries(new URLSearchParams(hash));
  if (wanted.site?.includes(':')) [wanted.kernel, wanted.site] = wanted.site.split(':');
  const table = tables.get(wanted.kernel);
  if (!table) return;
  delete wanted.kernel;
  table.show(wanted);
  if (jump && !wanted.site) table.holder.scrollIntoView();
}

function slash(event) {
  const typing = ['INPUT', 'SELECT', 'TEXTAREA'].includes(document.activeElement?.tagName);
  const search = [...tables.values()][0]?.search;
  if (event.key !== '/' || event.ctrlKey || event.metaKey || typing || !search) return;
  event.preventDefault();
  search.focus();
}

// Images that the page does not list by itself: their rows are made when somebody wants them.
function listImages(kernel) {
  const holder = document.querySelector(`.images[data-kernel="${CSS.escape(kernel.anchor)}"]`);
  const left = holder?.querySelector('.more');
  if (!left || !kernel.listed.length) return;
  const show = () => {
    holder.querySelector('tbody').append(...kernel.listed.map(([name, sites, ...counts]) => make('tr', {},
      make('th', { scope: 'row' }, make('a', { href: hashOf({ kernel: kernel.anchor, image: name }) }, name)),
      make('td', {}, number(sites)),
      ...counts.map((count, n) => make('td', { class: count ? `${LEVELS[n]}-text` : '' }, number(count))))));
    left.remove();
    announce(`${plural(kernel.listed.length, 'more image')} are listed`);
  };
  left.append(' ', make('button', { type: 'button', click: show }, 'Show them'));
}

async function start() {
  themeSwitch();
  tieSteps();
  openForPrint();
  const kernels = await readData();
  for (const kernel of kernels) {
    listImages(kernel);
    if (!kernel.images.length) continue;
    const strip = document.querySelector(`.strip[data-kernel="${CSS.escape(kernel.anchor)}"]`);
    if (strip) kernel.strip = new Strip(strip, kernel);
    const holder = document.querySelector(`.sites[data-kernel="${CSS.escape(kernel.anchor)}"]`);
    if (!holder) continue;
    const table = new SiteTable(holder, kernel);
    tables.set(kernel.anchor, table);
    table.show({});
  }
  addEventListener('hashchange', () => route());
  addEventListener('keydown', slash);
  route();
  document.documentElement.dataset.ready = '';
}

start().catch((error) => {
  const told = `The sites cannot be shown: ${error.message}. The rest of the page is complete.`;
  document.getElementById('main').prepend(make('p', { role: 'alert', class: 'error-text' }, told));
});
