// SPDX-License-Identifier: GPL-2.0-or-later
// The table of sites: search, filters, pages, and the site that is chosen. What it shows is in the page's address.

const PAGE = 50;
const TYPING = 120;
const FILTERS = ['q', 'rule', 'section', 'verdict', 'state', 'from', 'to', 'image', 'sort', 'page'];
const COLUMNS = ['address', 'function', 'section', 'aligned', 'distance', 'says'];
const SORTED = new Map([
  ['address', (image) => (a, b) => image.func[a] - image.func[b]],
  ['function', (image) => (a, b) => (image.symbols[a] < image.symbols[b] ? -1 : 1)],
  ['distance', (image) => (a, b) => image.func[b] - image.func[a]],
]);

class SiteTable {
  constructor(holder, kernel) {
    this.kernel = kernel;
    this.holder = holder;
    this.wanted = {};
    this.controls = make('form', {
      class: 'tools', role: 'search', 'aria-label': `Filter the sites of ${titleOf(kernel)}`,
      submit: (event) => event.preventDefault(),
    });
    this.count = make('p', { role: 'status' });
    this.shownRows = make('p', { class: 'paper sub' });
    this.panel = make('div');
    this.heads = COLUMNS.map((name) => this.head(name));
    this.body = make('tbody', { keydown: (event) => this.key(event) });
    this.pager = make('div', { class: 'tools' });
    const table = make('table', { class: 'list' }, make('caption', { class: 'unseen' }, 'Sites'),
      make('thead', {}, make('tr', {}, ...this.heads)), this.body);
    holder.append(this.controls, this.count, this.shownRows, this.panel, table, this.pager);
    this.build();
  }

  get image() {
    return this.kernel.images.find((image) => image.name === this.wanted.image) || this.kernel.images[0];
  }

  head(name) {
    const text = name === 'distance' ? 'to trampoline' : name;
    const sorting = make('button', { type: 'button', click: () => this.sort(name) }, text);
    return make('th', { scope: 'col', class: `col-${name}` }, SORTED.has(name) ? sorting : text);
  }

  // -- controls

  build() {
    const { image, wanted } = this;
    const rules = new Map(image.hits.map((hit) => [hit.rule, `${hit.rule} (${hit.level})`]));
    const states = [...new Set(image.failures.map((failure) => failure.state))];
    const same = (names) => names.map((name) => [name, name || '(none)']);
    this.search = this.searchField();
    const parts = [this.search];
    if (this.kernel.images.length > 1) parts.push(this.imageField());
    if (rules.size) parts.push(this.field('rule', 'rule', [...rules]));
    parts.push(this.field('section', 'section', same(image.sections)), this.field('verdict', 'verdict', same(LEVELS)));
    if (states.length) parts.push(this.field('state', 'fails in', same(states)));
    if (wanted.from) parts.push(this.button(`${wanted.from} to ${wanted.to} \u00d7`, { from: '', to: '', page: '' }));
    parts.push(this.button('Show all', Object.fromEntries(FILTERS.map((name) => [name, '']))));
    this.controls.replaceChildren(...parts);
    this.built = JSON.stringify([image.name, wanted.from]);
  }

  searchField() {
    const typed = (event) => {
      clearTimeout(this.timer);
      const { value } = event.target;
      this.timer = setTimeout(() => this.set({ q: value, page: '' }, true), TYPING);
    };
    return make('input', {
      type: 'search', name: 'q', value: this.wanted.q || '', placeholder: 'function or address', spellcheck: 'false',
      'aria-label': 'Search functions and addresses', input: typed,
    });
  }

  imageField() {
    const change = (event) => this.set({ image: event.target.value, page: '', site: '' });
    const options = this.kernel.images.map((each) =>
      option(each.name, `${each.name} (${number(each.count)})`, this.image.name));
    return make('label', {}, 'image ', make('select', { name: 'image', change }, ...options));
  }

  field(name, label, choices) {
    const chosen = this.wanted[name] || '';
    const change = (event) => this.set({ [name]: event.target.value, page: '' });
    const options = choices.map(([value, text]) => option(value, text, chosen));
    return make('label', {}, `${label} `, make('select', { name, change }, option('', 'any', chosen), ...options));
  }

  button(text, changes) {
    return make('button', { type: 'button', click: () => this.set(changes) }, text);
  }

  set(changes, quiet = false) {
    go({ ...this.wanted, ...changes, kernel: this.kernel.anchor }, quiet);
  }

  sort(name) {
    this.set({ sort: this.wanted.sort === name ? `-${name}` : name, page: '' });
  }

  key(event) {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    const links = [...this.body.querySelectorAll('a')], at = links.indexOf(document.activeElement);
    const next = links[at + (event.key === 'ArrowDown' ? 1 : -1)];
    if (at < 0 || !next) return;
    event.preventDefault();
    next.focus();
  }

  // -- which sites

  matching() {
    const { image } = this, { q = '', rule, section, verdict, state, from, to } = this.wanted;
    let sites = image.order;
    if (rule) sites = among(sites, image.hits.filter((hit) => hit.rule === rule));
    if (state) sites = among(sites, image.failures.filter((failure) => failure.state === state));
    if (section) sites = sites.filter((site) => image.sections[image.section[site]] === section);
    if (verdict) sites = sites.filter((site) => LEVELS[image.levels[site]] === verdict);
    if (from && to) {
      const [low, high] = [from, to].map((address) => Number(parseBig(address) - image.base));
      sites = sites.filter((site) => image.func[site] >= low && image.func[site] < high);
    }
    return this.sorted(this.found(sites, q.trim().toLowerCase()));
  }

  found(sites, text) {
    const { image } = this;
    if (!text) return sites;
    const exact = /^(0x)?[0-9a-f]{6,16}$/.test(text) ? siteAt(image, hex(parseBig(text))) : -1;
    if (exact >= 0) return [exact];
    const isAddress = text.startsWith('0x');
    return sites.filter((site) => image.symbols[site].toLowerCase().includes(text)
      || (isAddress && addressOf(image, site).includes(text)));
  }

  sorted(sites) {
    const { sort = 'address' } = this.wanted, name = sort.replace(/^-/, ''), down = sort.startsWith('-');
    this.heads.forEach((head, n) => {
      head.setAttribute('aria-sort', COLUMNS[n] !== name ? 'none' : (down ? 'descending' : 'ascending'));
    });
    if (sort === 'address' || !SORTED.has(name)) return sites;
    const listed = [...sites].sort(SORTED.get(name)(this.image));
    return down ? listed.reverse() : listed;
  }

  // -- showing them

  show(wanted) {
    this.wanted = wanted;
    const { image } = this;
    if (this.built !== JSON.stringify([image.name, wanted.from])) this.build();
    for (const field of this.controls.elements) {
      const value = field.name === 'image' ? image.name : wanted[field.name] || '';
      if (field.name && field !== document.activeElement) field.value = value;
    }
    const sites = this.matching(), pages = Math.max(Math.ceil(sites.length / PAGE), 1);
    const chosen = wanted.site ? siteAt(image, wanted.site) : -1;
    const page = this.pageOf(sites, chosen, pages), all = plural(image.count, 'site');
    this.count.textContent = sites.length === image.count ? all : `${number(sites.length)} of ${all}`;
    this.body.replaceChildren(...sites.slice((page - 1) * PAGE, page * PAGE).map((site) => this.row(site, chosen)));
    const first = (page - 1) * PAGE;
    const last = Math.min(first + PAGE, sites.length);
    this.shownRows.textContent = pages > 1 ? `${number(first + 1)} to ${number(last)} are listed here` : '';
    this.turn(page, pages);
    this.choose(chosen);
  }

  pageOf(sites, chosen, pages) {
    const at = chosen >= 0 && !this.wanted.page ? sites.indexOf(chosen) : -1;
    if (at >= 0) return Math.floor(at / PAGE) + 1;
    return Math.min(Math.max(parseInt(this.wanted.page || '1', 10) || 1, 1), pages);
  }

  turn(page, pages) {
    const to = (text, wanted) => make('button', {
      type: 'button', disabled: wanted < 1 || wanted > pages || wanted === page,
      click: () => this.set({ page: String(wanted), site: '' }),
    }, text);
    this.pager.replaceChildren(...(pages > 1 ? [
      to('First', 1), to('Previous', page - 1), `page ${number(page)} of ${number(pages)}`, to('Next', page + 1),
      to('Last', pages),
    ] : []));
  }

  row(site, chosen) {
    const { image } = this, distance = distanceOf(image, site), address = addressOf(image, site);
    const href = hashOf({ ...this.wanted, kernel: this.kernel.anchor, site: address });
    const cells = [
      make('code', {}, address),
      make('a', { href }, make('code', {}, nameOf(image, site))),
      image.sections[image.section[site]],
      number(image.alignment[site]),
      distance === null ? '-' : number(distance),
      make('span', {}, ...this.says(site)),
    ];
    return make('tr', { class: site === chosen ? 'chosen' : '' },
      ...cells.map((cell, n) => make('td', { 'data-head': n === 1 ? null : COLUMNS[n] }, cell)));
  }

  says(site) {
    const parts = [...new Map(rulesOf(this.image, site).map((hit) => [hit.rule, hit.level]))];
    const states = [...new Set(failuresOf(this.image, site).map((failure) => failure.state))];
    if (states.length) parts.push([states.length === 1 ? states[0] : `fails in ${states.length} states`, 'error']);
    return parts.flatMap(([text, level]) => [make('span', { class: `badge ${level}` }, text), ' ']);
  }

  choose(site) {
    if (site === this.shown && this.image === this.shownImage) return;
    [this.shown, this.shownImage] = [site, this.image];
    if (this.kernel.strip && this.image === this.kernel.images[0]) this.kernel.strip.choose(site);
    if (site < 0) {
      this.panel.replaceChildren();
      return;
    }
    const { panel, heading } = sitePanel(this.image, site, () => this.set({ site: '' }));
    this.panel.replaceChildren(panel);
    heading.focus({ preventScroll: true });
    panel.scrollIntoView({ block: 'start' });
    announce(`${nameOf(this.image, site)} is shown`);
  }
}

function among(sites, lists) {
  const kept = new Set(lists.flatMap((list) => [...list.sites]));
  return sites.filter((site) => kept.has(site));
}

function parseBig(text) {
  try {
    return BigInt(text.startsWith('0x') ? text : `0x${text}`);
  } catch {
    return -1n;
  }
}
