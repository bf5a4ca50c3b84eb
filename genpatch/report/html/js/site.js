// SPDX-License-Identifier: GPL-2.0-or-later
// One site: what is said of it, its bytes in each state with their disassembly, the stores in order.

const AUIPC = 0x17, JALR = 0x67;
const NOPS = [0x13, 0x10001];
const LEADS_TO = { ftrace_init_nop: 'boot', ftrace_make_call: 'enabled', ftrace_make_nop: 'disabled' };

function sitePanel(image, site, close) {
  const name = nameOf(image, site), heading = make('h3', { tabindex: -1 }, name);
  const button = (text, click) => make('button', { type: 'button', click }, text);
  const panel = make('section', { class: 'site', 'aria-label': `Site ${name}` }, heading,
    make('div', { class: 'tools' }, button('Copy a link to it', copyLink),
      button('Show in the strip', () => image.kernel.strip?.zoomTo(site)), button('Close', close)),
    factsOf(image, site), saidOf(image, site));
  if (image.states.length) panel.append(make('h4', {}, 'Bytes and instructions, state by state'), bytesOf(image, site));
  const stores = storesOf(image, site);
  if (stores.length) panel.append(make('h4', {}, 'Stores, in order'), make('div', { class: 'sequences' }, ...stores));
  return { panel, heading };
}

function copyLink() {
  const failed = () => announce('There is no clipboard here: the address of the page is the link');
  if (!navigator.clipboard) failed();
  else navigator.clipboard.writeText(location.href).then(() => announce('The link is copied'), failed);
}

function factsOf(image, site) {
  const shape = image.shapes[image.shape[site]], distance = distanceOf(image, site);
  const at = (offset) => hex(image.base + BigInt(image.func[site] + offset));
  const facts = [
    ['address', at(0)],
    ['section', image.sections[image.section[site]] || '(none)'],
    ['table entry', at(shape.entry)],
    ['ip', at(shape.ip)],
    ['sled', `${shape.before} + ${shape.after} bytes, ${shape.nop}`],
    ['aligned to', `${number(image.alignment[site])} bytes`],
  ];
  if (distance !== null) facts.push([`${image.kernel.target.name} is`, `${number(distance)} bytes away`]);
  return make('dl', { class: 'facts' }, ...facts.map(([label, value]) =>
    make('div', {}, make('dt', {}, label), make('dd', {}, make('code', {}, value)))));
}

function saidOf(image, site) {
  const rules = new Map(rulesOf(image, site).map((hit) => [hit.rule, hit.level]));
  const lines = [...rules].map(([rule, level]) => make('li', {}, make('span', { class: `badge ${level}` }, level),
    ` ${rule} `, image.kernel.messages.get(rule) || ''));
  for (const failure of failuresOf(image, site)) {
    lines.push(make('li', {}, make('span', { class: 'badge error' }, 'fails'), ` ${failed(image, failure, site)}`));
  }
  return lines.length ? make('ul', { class: 'pairs' }, ...lines) : make('p', {}, 'Nothing is said of this site.');
}

function failed(image, failure, site) {
  const at = failure.sites.indexOf(site), got = failure.got[at];
  const named = (value) => (image.names.has(value) ? `${value} (${image.names.get(value)})` : value);
  const values = got === undefined ? '' : `: ${named(got)} instead of ${named(failure.expected[at])}`;
  return `state ${failure.state}: ${failure.promise} ${failure.what}${values}`;
}

// -- bytes

function bytesOf(image, site) {
  let last = null;
  const rows = image.states.map((state) => {
    const words = state.words.map((word) => ({ at: word.at, value: wordOf(word, site) })), before = last;
    last = words;
    const cells = words.map((word, n) => make('td', { class: before && before[n].value !== word.value ? 'new' : '' },
      make('code', {}, bytesText(word.value))));
    const lines = disassembled(image, site, words).map((line) => make('div', {}, make('code', {}, line)));
    return make('tr', {}, make('th', { scope: 'row', title: state.what }, state.state), ...cells, make('td', {}, ...lines));
  });
  const heads = ['state', ...image.states[0].words.map(({ at }) => `func${signed(at)}`), 'is'];
  return make('div', { class: 'scroller', tabindex: 0, role: 'group', 'aria-label': 'Bytes in each state' },
    make('table', { class: 'bytes' }, make('thead', {}, make('tr', {}, ...heads.map((head) =>
      make('th', { scope: 'col' }, head)))), make('tbody', {}, ...rows)));
}

const wordOf = (word, site) => (word.index[site] < 0 ? null : word.values[word.index[site]]);
const signed = (offset) => `${offset < 0 ? '' : '+'}${offset}`;

function bytesText(word) {
  if (word === null) return '--';
  return [0, 8, 16, 24].map((shift) => ((word >>> shift) & 255).toString(16).padStart(2, '0')).join(' ');
}

function disassembled(image, site, words) {
  const lines = [];
  let pair = null, repeated = null;
  for (let n = 0; n < words.length; n++) {
    const { at, value } = words[n], following = words[n + 1]?.value ?? null;
    if (value === null) continue;
    if (at === image.literal && following !== null && !(NOPS.includes(value) && NOPS.includes(following))) {
      lines.push(pointerText(image, (BigInt(following) << 32n) | BigInt(value)));
      n++;
      continue;
    }
    for (const [bits, place] of parcels(value, at)) {
      const text = instruction(image, bits), target = targetOf(pair, bits);
      if (repeated?.text === text && place !== 0 && !target) {
        lines[lines.length - 1] = `${repeated.head} \u00d7 ${++repeated.count}`;
      } else {
        repeated = { text, head: `${signed(place)}: ${text}`, count: 1 };
        lines.push(target ? `${repeated.head}  \u2192 ${target} ${image.names.get(target) || ''}`.trimEnd() : repeated.head);
      }
      pair = pairAt(image, site, bits, place);
    }
  }
  return lines;
}

function pointerText(image, value) {
  const pointer = hex(value);
  return `pointer ${pointer} ${image.names.get(pointer) || ''}`.trimEnd();
}

function parcels(word, at) {
  return (word & 3) === 3 ? [[word, at]] : [[word & 0xffff, at], [word >>> 16, at + 2]];
}

// What an auipc leaves for a jalr through the same register that follows it.
function pairAt(image, site, bits, place) {
  if ((bits & 0x7f) !== AUIPC) return null;
  const pc = image.base + BigInt(image.func[site] + place);
  return { register: (bits >>> 7) & 31, value: pc + BigInt((bits >> 12) * 4096) };
}

function targetOf(pair, bits) {
  if (pair === null || (bits & 0x707f) !== JALR || ((bits >>> 15) & 31) !== pair.register) return null;
  return hex(BigInt.asUintN(64, pair.value + BigInt(bits >> 20)));
}

function instruction(image, bits) {
  for (const [mask, match, text] of image.insns) {
    if (((bits & mask) >>> 0) === match && (mask !== 0xffff || bits < 65536)) {
      const values = { '{U}': bits >>> 12, '{I}': bits >> 20, '{J}': jump(bits) };
      return text.replace(/\{[UIJ]\}/, (hole) => short(values[hole]));
    }
  }
  return `.${bits > 65535 ? 'word' : 'half'} ${hex(bits)}`;
}

function short(value) {
  return value > -10 && value < 10 ? String(value) : `${value < 0 ? '-' : ''}0x${Math.abs(value).toString(16)}`;
}

function jump(bits) {
  return ((bits >> 31) << 20) | (bits & 0xff000) | ((bits >>> 9) & 0x800) | ((bits >>> 20) & 0x7fe);
}

// -- stores

function storesOf(image, site) {
  if (image.name !== 'kernel') return [];
  const residue = (image.base + BigInt(image.func[site])) % 8n;
  const fits = ([name]) => !name.includes(',') || name.endsWith(`== ${residue}`);
  return [...image.kernel.sequences].filter(fits).map(([name, steps]) => {
    const lines = steps.map((step) => make('li', { class: step.startsWith('store') ? 'store' : '' },
      make('code', {}, ownStore(image, site, name, step))));
    return make('div', {}, make('h5', {}, name.split(',')[0]), make('ol', {}, ...lines));
  });
}

// A sequence was recorded at one site of this alignment: what was stored there is not what is stored here.
function ownStore(image, site, name, step) {
  const found = /^store (\d+) at func([+-]\d+): /.exec(step);
  if (!found) return step;
  const size = Number(found[1]), first = Number(found[2]);
  const state = image.states.find((each) => each.state === LEADS_TO[name.split(',')[0]]);
  const stored = (state ? state.words : []).filter((word) => word.at >= first && word.at < first + size);
  const parts = stored.map((word) => wordOf(word, site)).filter((value) => value !== null);
  const value = parts.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
  return `store ${size} at func${signed(first)}: ${parts.length * 4 === size ? hex(value) : '(of this site)'}`;
}
