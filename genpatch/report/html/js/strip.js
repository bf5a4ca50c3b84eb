// SPDX-License-Identifier: GPL-2.0-or-later
// The text of a kernel as a strip: columns of sites by verdict, and functions one by one where there are few.

const MAP = { top: 12, bottom: 136, left: 56, right: 8, few: 240, least: 256, ticks: 1500, row: 14, shade: 4 };
const MIB = 1 << 20;

class Strip {
  constructor(holder, kernel) {
    this.image = kernel.images[0];
    this.from = 0;
    this.to = this.image.end;
    this.chosen = -1;
    this.named = LEVELS.slice(0, 3).filter((name, level) => this.image.levels.includes(level));
    this.readout = make('output', { class: 'grow', 'aria-live': 'polite' });
    const button = (text, label, act) => make('button', { type: 'button', 'aria-label': label, click: act }, text);
    this.tools = make('div', { class: 'tools' },
      button('+', 'Zoom in', () => this.zoom(0.5)), button('\u2212', 'Zoom out', () => this.zoom(2)),
      button('\u2190', 'Move to lower addresses', () => this.move(-0.5)),
      button('\u2192', 'Move to higher addresses', () => this.move(0.5)),
      button('Whole text', 'Show the whole text', () => this.show(0, this.image.end)), this.readout,
      button('Only these in the table', 'Show only these sites in the table', () => this.filter()));
    this.map = draw('svg', { class: 'map', role: 'img' });
    const frame = make('div', {
      class: 'frame', tabindex: 0, role: 'group', keydown: (event) => this.key(event),
      'aria-label': 'Strip of the kernel\'s text: plus and minus zoom, arrow keys move',
    }, this.map);
    const legend = make('ul', { class: 'legend' }, ...LEVELS.map((level, at) =>
      make('li', {}, make('i', { class: level }), `${level === 'clean' ? 'nothing is said' : level}: `
        + number(this.image.levels.filter((each) => each === at).length))));
    const what = 'Sites per MiB from the lowest address on, by the worst that is said of each. Drag to zoom.';
    holder.replaceChildren(make('p', { class: 'sub' }, what), this.tools, frame, legend);
    this.drag();
    new ResizeObserver(() => this.render()).observe(frame);
  }

  get width() { return Math.max(this.map.parentNode.clientWidth || 720, 280); }

  show(from, to) {
    const span = Math.max(to - from, MAP.least);
    this.from = Math.max(0, Math.min(from, this.image.end - span));
    this.to = Math.min(this.image.end, this.from + span);
    this.render();
  }

  zoom(factor) {
    const middle = (this.from + this.to) / 2, half = (this.to - this.from) * factor / 2;
    this.show(middle - half, middle + half);
  }

  move(part) {
    const step = (this.to - this.from) * part;
    this.show(this.from + step, this.to + step);
  }

  key(event) {
    const acts = {
      '+': () => this.zoom(0.5), '=': () => this.zoom(0.5), '-': () => this.zoom(2), ArrowLeft: () => this.move(-0.25),
      ArrowRight: () => this.move(0.25), Home: () => this.show(0, this.image.end),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    acts[event.key]();
  }

  choose(site) {
    this.chosen = site;
    if (site >= 0 && (this.image.func[site] < this.from || this.image.func[site] >= this.to)) this.zoomTo(site);
    else this.render();
  }

  zoomTo(site) {
    this.chosen = site;
    this.show(this.image.func[site] - 4096, this.image.func[site] + 4096);
  }

  filter() {
    go({ kernel: this.image.kernel.anchor, from: this.address(this.from), to: this.address(this.to) });
  }

  position(offset) {
    return MAP.left + (this.width - MAP.left - MAP.right) * (offset - this.from) / (this.to - this.from);
  }

  offsetAt(event) {
    const box = this.map.getBoundingClientRect();
    const part = (event.clientX - box.left - MAP.left) / (this.width - MAP.left - MAP.right);
    return this.from + Math.min(Math.max(part, 0), 1) * (this.to - this.from);
  }

  drag() {
    let start = null;
    const shade = draw('rect', { class: 'drag', y: MAP.top, height: MAP.bottom - MAP.top });
    this.map.addEventListener('pointerdown', (event) => {
      if (event.button === 0) start = { at: this.offsetAt(event), x: event.clientX };
    });
    this.map.addEventListener('pointermove', (event) => {
      if (!start) return;
      const [low, high] = [start.at, this.offsetAt(event)].sort((a, b) => a - b).map((at) => this.position(at));
      shade.setAttribute('x', low);
      shade.setAttribute('width', high - low);
      this.map.append(shade);
    });
    addEventListener('pointerup', (event) => {
      if (!start) return;
      const [low, high] = [start.at, this.offsetAt(event)].sort((a, b) => a - b);
      const moved = Math.abs(event.clientX - start.x) > 4;
      start = null;
      shade.remove();
      if (moved) this.show(low, high);
    });
  }

  visible() {
    const { func, order } = this.image;
    let low = 0, high = order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (func[order[middle]] < this.from) low = middle + 1; else high = middle;
    }
    let end = low;
    while (end < order.length && func[order[end]] < this.to) end++;
    return order.slice(low, end);
  }

  render() {
    const sites = this.visible(), width = this.width;
    const height = MAP.bottom + 44 + this.named.length * MAP.row;
    this.map.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.map.setAttribute('height', height);
    const said = `${plural(sites.length, 'site')} from ${this.address(this.from)} to ${this.address(this.to)}`;
    this.readout.textContent = said;
    this.map.setAttribute('aria-label', said);
    const shapes = sites.length > MAP.few ? [...this.columns(sites), ...this.tracks(sites)] : this.functions(sites);
    this.map.replaceChildren(...shapes, ...this.axis(), ...this.marker());
  }

  address(offset) {
    return hex(this.image.base + BigInt(Math.floor(offset)));
  }

  distance(offset) {
    const span = this.to - this.from;
    if (this.to < MIB) return `+${(offset / 1024).toFixed(1)} KiB`;
    return `+${(offset / MIB).toFixed(span > 4 * MIB ? 1 : 3)} MiB`;
  }

  marker() {
    const at = this.chosen >= 0 ? this.image.func[this.chosen] : -1;
    if (at < this.from || at >= this.to) return [];
    const x = this.position(at), name = nameOf(this.image, this.chosen).slice(0, 40);
    return [draw('path', { class: 'axis', d: `M${x} ${MAP.top - 8}V${MAP.bottom}` }),
      draw('text', { x: Math.min(x + 4, this.width - 120), y: MAP.top }, name)];
  }

  columns(sites) {
    const room = this.width - MAP.left - MAP.right, count = Math.min(Math.max(Math.floor(room / 9), 24), 128);
    const span = (this.to - this.from) / count, stacks = Array.from({ length: count }, () => [0, 0, 0, 0]);
    for (const site of sites) {
      stacks[Math.min(Math.floor((this.image.func[site] - this.from) / span), count - 1)][this.image.levels[site]]++;
    }
    const most = Math.max(...stacks.map((stack) => stack.reduce((a, b) => a + b)), 1);
    const parts = [draw('text', { class: 'sub', x: 2, y: MAP.top + 10 }, number(Math.round(most * MIB / span)))];
    stacks.forEach((stack, n) => parts.push(this.column(stack, n, { room, count, span, most })));
    return parts;
  }

  column(stack, n, { room, count, span, most }) {
    const from = this.from + span * n, step = room / count;
    const counts = stack.map((value, level) => value && `${number(value)} ${LEVELS[level]}`).filter(Boolean).join(', ');
    const column = draw('g', { click: () => this.show(from, from + span) },
      draw('title', {}, `${this.address(from)}: ${counts || 'no sites'}`));
    let y = MAP.bottom;
    stack.forEach((value, level) => {
      if (!value) return;
      const height = Math.max((MAP.bottom - MAP.top) * value / most, level < 2 ? 2 : 1);
      y -= height;
      column.append(draw('rect', { class: LEVELS[level], x: MAP.left + step * n, y, width: step - 1, height }));
    });
    return column;
  }

  // A row for each level that there is, so that a few sites among thousands are seen: a line each, or a shade.
  tracks(sites) {
    const room = this.width - MAP.left - MAP.right;
    return this.named.flatMap((name, at) => {
      const level = LEVELS.indexOf(name), y = MAP.bottom + 5 + MAP.row * at, height = MAP.row - 3;
      const places = sites.filter((site) => this.image.levels[site] === level)
        .map((site) => this.position(this.image.func[site]));
      return [draw('text', { class: 'sub', x: 2, y: y + 10 }, name),
        draw('rect', { class: 'range', x: MAP.left, y, width: room, height }),
        ...(places.length <= MAP.ticks ? lines(places, name, y, height) : shades(places, name, y, height, room))];
    });
  }

  functions(sites) {
    return sites.map((site, n) => {
      const start = this.image.func[site], next = n + 1 < sites.length ? this.image.func[sites[n + 1]] : this.to;
      const x = this.position(start), width = Math.max(this.position(Math.min(next, start + 65536)) - x - 1, 1.5);
      const name = nameOf(this.image, site), address = addressOf(this.image, site), level = LEVELS[this.image.levels[site]];
      const kind = `${level}${site === this.chosen ? ' chosen' : ''}`, top = MAP.top + 30;
      const click = () => go({ kernel: this.image.kernel.anchor, site: address });
      const shape = draw('g', { class: 'function', click }, draw('title', {}, `${name}, ${address}, ${level}`),
        draw('rect', { class: kind, x, y: top, width, height: MAP.bottom - top }));
      if (width > 60) shape.append(draw('text', { x: x + 2, y: top - 6 }, name.slice(0, Math.floor(width / 7))));
      return shape;
    });
  }

  axis() {
    const y = MAP.bottom + 6 + this.named.length * MAP.row, ticks = Math.max(Math.floor(this.width / 240), 1);
    const line = `M${MAP.left} ${MAP.bottom}H${this.width - MAP.right}`;
    const parts = [draw('path', { class: 'axis', fill: 'none', d: line })];
    for (let n = 0; n <= ticks; n++) {
      const offset = this.from + (this.to - this.from) * n / ticks, x = this.position(offset);
      const anchor = n === 0 ? 'start' : (n === ticks ? 'end' : 'middle');
      [this.address(offset), this.distance(offset)].forEach((text, row) =>
        parts.push(draw('text', { class: 'sub', x, y: y + 16 + 15 * row, 'text-anchor': anchor }, text)));
    }
    return parts;
  }
}

function lines(places, name, y, height) {
  const path = places.map((x) => `M${x.toFixed(1)} ${y}v${height}`).join('');
  return path ? [draw('path', { class: `line ${name}`, d: path })] : [];
}

function shades(places, name, y, height, room) {
  const counts = new Float64Array(Math.ceil(room / MAP.shade));
  for (const x of places) counts[Math.min(Math.floor((x - MAP.left) / MAP.shade), counts.length - 1)]++;
  const most = Math.max(...counts);
  return Array.from(counts, (count, n) => count && draw('rect', {
    class: name, x: MAP.left + MAP.shade * n, y, width: MAP.shade, height, opacity: 0.25 + 0.75 * count / most,
  })).filter(Boolean);
}
