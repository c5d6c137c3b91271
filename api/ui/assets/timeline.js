// What happened: explains what the pointer or the focus is on, and moves through time.

import { root } from './base.js';
import { follow, behind } from './live.js';

const timeline = document.getElementById('timeline');
const words = document.getElementById('words');
const svg = timeline.querySelector('svg.timeline');
const from = Date.parse(timeline.dataset.from), to = Date.parse(timeline.dataset.to);
const width = 1200, gutter = 180; // of the view box, and of the lanes' names

const explain = (e) => {
  const title = e.target.closest?.('g.lane a')?.querySelector('title');
  if (title && words) words.textContent = title.textContent;
};
timeline.addEventListener('pointerover', explain);
timeline.addEventListener('focusin', explain);

// range goes to another one, and keeps the other settings.
function range(a, b) {
  const at = new URL(location.href);
  const iso = (t) => new Date(t).toISOString().replace(/\.\d+Z$/, 'Z');
  at.searchParams.set('from', iso(a));
  at.searchParams.set('to', iso(Math.max(b, a + 60000)));
  location.assign(root + 'ui/timeline' + at.search);
}

// Drag to zoom
const time = (x) => from + (Math.min(Math.max(x, gutter), width) - gutter) / (width - gutter) * (to - from);
const place = (e) => {
  const box = svg.getBoundingClientRect();
  return (e.clientX - box.left) / box.width * width;
};
let start, shade;
svg?.addEventListener('pointerdown', (e) => {
  if (e.button !== 0 || place(e) < gutter || e.target.closest('a')) return;
  start = place(e);
  shade = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  shade.setAttribute('class', 'zoom');
  shade.setAttribute('y', 0);
  shade.setAttribute('height', svg.viewBox.baseVal.height);
  svg.append(shade);
  svg.setPointerCapture(e.pointerId);
});
svg?.addEventListener('pointermove', (e) => {
  if (start === undefined) return;
  const x = Math.max(place(e), gutter);
  shade.setAttribute('x', Math.min(start, x));
  shade.setAttribute('width', Math.abs(x - start));
});
svg?.addEventListener('pointerup', (e) => {
  if (start === undefined) return;
  const a = time(start), b = time(place(e)), far = Math.abs(place(e) - start) > 8;
  start = undefined;
  shade.remove();
  if (far) range(Math.min(a, b), Math.max(a, b));
});

// The tab key stops once in each lane: within it, the arrows go from mark to mark. What
// listens is outside the picture: a part of it that does would be a stop of its own.
for (const lane of document.querySelectorAll('g.lane')) {
  for (const [i, a] of lane.querySelectorAll('a').entries()) a.setAttribute('tabindex', i ? -1 : 0);
}
timeline.addEventListener('focusin', (e) => {
  const mark = e.target.closest('g.lane a');
  if (!mark) return;
  mark.closest('g.lane').querySelector('a[tabindex="0"]').setAttribute('tabindex', -1);
  mark.setAttribute('tabindex', 0);
});

// along returns what a key leads to from a mark of a lane: nothing at its ends, undefined
// for a key that leads along no lane.
function along(mark, key) {
  if (!['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(key)) return undefined;
  const places = Array.from(mark.closest('g.lane').querySelectorAll('a'), (a) => [a.getBoundingClientRect().left, a]);
  const all = places.sort((a, b) => a[0] - b[0]).map(([, a]) => a);
  const at = all.indexOf(mark);
  return all[{ ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[key]] ?? null;
}

// Keys: the arrows move, plus and minus zoom.
document.addEventListener('keydown', (e) => {
  if (e.target.closest('input, select, textarea') || e.ctrlKey || e.metaKey || e.altKey) return;
  const mark = e.target.closest('g.lane a');
  const next = mark ? along(mark, e.key) : undefined;
  if (next !== undefined) { e.preventDefault(); next?.focus(); return; }
  const id = { ArrowLeft: 'earlier', ArrowRight: 'later', '+': 'in', '=': 'in', '-': 'out' }[e.key];
  if (id) { e.preventDefault(); document.getElementById(id).click(); }
});

// A picture that somebody looks at does not move under the eyes: it says how far it is
// behind.
let count = 0;
follow(timeline.dataset.seq, () => { if ('newest' in timeline.dataset) behind(++count); });
