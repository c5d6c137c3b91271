// The pool: a filter, an order, and the rows of accounts that change.

import { part, setTime, countDown, say } from './base.js';
import { follow, behind } from './live.js';
import { offer, again } from './act.js';

const grid = document.getElementById('grid');
const filter = document.getElementById('filter');
const sort = document.getElementById('sort');

setTime(grid.dataset.now);
countDown();

// rows :: account → its row. An account has one provider, so one row.
const rows = new Map();
const index = () => {
  rows.clear();
  for (const r of grid.querySelectorAll('tbody tr')) rows.set(r.dataset.account, r);
};
index();

// Filter

// matcher returns what tells whether a text is as a word says, in capitals or not: * and ? are
// wild; a word without them may stand anywhere.
function matcher(word) {
  const pattern = word.toLowerCase();
  if (/[*?]/.test(pattern)) return (text) => wild(pattern, text.toLowerCase());
  return (text) => text.toLowerCase().includes(pattern);
}

// wild matches a text with a pattern. What an earlier * takes never has to be tried again once a
// later one is reached: the time is bounded by the product of the lengths.
function wild(pattern, text) {
  let p = 0, star = -1, from = 0;
  for (let t = 0; t < text.length;) {
    if (pattern[p] === '*') { star = p++; from = t; }
    else if (pattern[p] === '?' || pattern[p] === text[t]) { p++; t++; }
    else if (star < 0) return false;
    else { p = star + 1; t = ++from; }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

// question reads the filter: every word must hold of a row. A field may have a space after it.
function question(text) {
  return text.replace(/(^|\s)(provider|group|state):\s+/gi, '$1$2:').split(/\s+/).filter(Boolean).map((word) => {
    const [, field, value] = /^(provider|group|state):(.*)$/i.exec(word) || [null, '', word];
    return { word, field: field.toLowerCase(), value, matches: matcher(value) };
  });
}

// holds reports whether all words hold of a row: those about group and state of one cell.
function holds(row, words) {
  const cellWords = words.filter((w) => w.field === 'group' || w.field === 'state');
  for (const w of words) {
    if (w.field === 'provider' && !w.matches(row.dataset.provider)) return false;
    if (w.field === '' && !w.matches(row.dataset.account)) return false;
  }
  if (cellWords.length === 0) return true;
  return Array.from(row.querySelectorAll('[data-status]')).some((c) => cellWords.every((w) =>
    w.matches(w.field === 'group' ? c.dataset.target : c.dataset.status)));
}

function apply() {
  const words = question(filter.value);
  let shown = 0;
  for (const row of rows.values()) {
    row.hidden = !holds(row, words);
    if (!row.hidden) shown++;
  }
  for (const pool of grid.querySelectorAll('section.pool')) pool.hidden = !pool.querySelector('tbody tr:not([hidden])');
  document.getElementById('shown').textContent = words.length ? say('js.shown', shown, rows.size) : '';
  const at = new URL(location.href);
  // An address is not for histories and logs, where that of the page may go.
  if (filter.value && !filter.value.includes('@')) at.searchParams.set('q', filter.value); else at.searchParams.delete('q');
  if (sort.value !== 'account') at.searchParams.set('sort', sort.value); else at.searchParams.delete('sort');
  history.replaceState(null, '', at);
}

// Order

// back is when the first blocked cell of a row comes back by itself.
function back(row) {
  let first = Infinity;
  for (const c of row.querySelectorAll('[data-back]')) first = Math.min(first, Date.parse(c.dataset.back));
  return first;
}

function order() {
  for (const body of grid.querySelectorAll('tbody')) {
    const list = Array.from(body.rows);
    if (sort.value === 'back') list.sort((a, b) => back(a) - back(b) || compare(a, b));
    else list.sort(compare);
    if (list.some((row, i) => row !== body.rows[i])) body.append(...list);
  }
}

function compare(a, b) { return a.dataset.account < b.dataset.account ? -1 : a.dataset.account > b.dataset.account ? 1 : 0; }

let typing;
filter.addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(apply, 120); });
filter.form.addEventListener('submit', (e) => { e.preventDefault(); apply(); });
sort.addEventListener('change', () => { order(); apply(); });
const asked = new URL(location.href).searchParams;
filter.value = asked.get('q') || '';
if (asked.get('sort') === 'back') sort.value = 'back';
order(); // the server knows the names that accounts are stored under
if (filter.value) apply();

// Bulk: the dialog begins with what it has fields for of the filter, and names the words that it
// has none for, by which the grid may show less.
offer(document.getElementById('main'), () => {
  const named = { free: true, dropped: [] };
  for (const w of question(filter.value)) {
    const field = { provider: 'provider', group: 'target' }[w.field];
    if (field && w.value && !/[*?]/.test(w.value) && !(field in named)) named[field] = w.value;
    else named.dropped.push(w.word);
  }
  return named;
});

// Changes

// replace puts new content into an element only where it differs: the rest of the page,
// the focus and what is selected stay.
function replace(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const focused = old.contains(document.activeElement);
  old.replaceWith(fresh);
  if (focused) (fresh.querySelector('a') || fresh).focus();
}

// merge takes the cells of a row that have changed.
function merge(old, fresh) {
  if (old.cells.length !== fresh.cells.length) { old.replaceWith(fresh); rows.set(fresh.dataset.account, fresh); return; }
  for (let i = 0; i < old.cells.length; i++) replace(old.cells[i], fresh.cells[i].cloneNode(true));
}

// take puts what the server rendered anew in its place. It reports whether all of it fits.
function take(fresh, accounts) {
  const missing = new Set(accounts);
  replace(document.getElementById('alerts'), fresh.querySelector('#alerts'));
  for (const table of fresh.querySelectorAll('table.grid')) {
    const mine = Array.from(grid.querySelectorAll('table.grid')).find((t) => t.dataset.provider === table.dataset.provider);
    const groups = (t) => Array.from(t.tHead.rows[0].cells, (c) => c.dataset.group || '').join('\n');
    if (!mine || groups(mine) !== groups(table)) return false; // other columns, or in another order
    for (let i = 0; i < table.tHead.rows[0].cells.length; i++) replace(mine.tHead.rows[0].cells[i], table.tHead.rows[0].cells[i].cloneNode(true));
    for (const row of Array.from(table.tBodies[0].rows)) {
      const account = row.dataset.account, old = rows.get(account);
      missing.delete(account);
      if (old && old.dataset.provider === row.dataset.provider) { merge(old, row); continue; }
      if (old) old.remove();
      mine.tBodies[0].append(row);
      rows.set(account, row);
    }
  }
  // Accounts that are gone count in heads that were not asked for; and providers with a group
  // that nothing is usable of come first.
  const bad = Array.from(grid.querySelectorAll('section.pool'), (s) => s.querySelector('th.exhausted') !== null);
  return missing.size === 0 && !bad.some((now, i) => now && i > 0 && !bad[i - 1]);
}

// renew takes the whole page anew, when its tables are others.
async function renew() {
  const fresh = await part('');
  const next = fresh.querySelector('#grid-pools');
  setTime(next.dataset.now);
  const held = document.activeElement.closest('#grid-pools tr')?.dataset.account;
  document.getElementById('grid-pools').replaceWith(next);
  replace(document.getElementById('alerts'), fresh.querySelector('#alerts'));
  index();
  order();
  if (held !== undefined) rows.get(held)?.querySelector('a').focus({ preventScroll: true });
}

const waiting = new Set();
let whole = false, busy = false, timer;
const most = 2000; // accounts of which rows are asked for; if there are more, all are
const longest = 6000; // of the address of a question: servers bound it

// tell notes what a record is about.
function tell(record) {
  again();
  const cells = record.data?.cells || [];
  for (const a of [record.account, ...cells.map((c) => c.account)]) {
    if (!a) continue;
    if (rows.has(a)) waiting.add(a); else whole = true; // its id for links is not known yet
  }
  if (!record.account && cells.length === 0) whole = true;
  behind(waiting.size || 1);
  if (!timer) timer = setTimeout(settle, 60);
}

// several takes accounts for one question, each with its part of the address.
function several() {
  const some = new Map();
  let length = 0;
  for (const a of waiting) {
    if (!rows.has(a)) { waiting.delete(a); whole = true; continue; } // it went while this waited
    const text = 'account=' + encodeURIComponent(rows.get(a).dataset.id);
    length += text.length + 1;
    if (some.size > 0 && length > longest) break;
    some.set(a, text);
  }
  return some;
}

// ask has some rows made anew, or the whole page if there are none. What comes while the
// answer is made may not be in it, and counts anew.
async function ask(some) {
  if (some.size === 0) {
    whole = false;
    waiting.clear();
    await renew();
    return;
  }
  for (const a of some.keys()) waiting.delete(a);
  const fresh = await part('ui/rows?' + Array.from(some.values()).join('&'));
  setTime(fresh.firstElementChild.dataset.now);
  if (!take(fresh, some.keys())) whole = true;
  else if (sort.value === 'back') order();
}

// settle asks for what has changed, one question at a time.
async function settle() {
  timer = undefined;
  if (busy) return;
  busy = true;
  let some;
  try {
    while (whole || waiting.size > 0) {
      some = whole || waiting.size > most ? new Map() : several();
      await ask(some);
      if (filter.value) apply();
    }
    behind(0);
  } catch (e) {
    if (e.status < 500) { location.reload(); return; } // it says what is wrong
    if (some.size === 0) whole = true;
    for (const a of some.keys()) waiting.add(a);
    timer = setTimeout(settle, 2000); // the daemon is away
  } finally {
    busy = false;
    if (!timer && (whole || waiting.size > 0)) timer = setTimeout(settle, 60);
  }
}

follow(grid.dataset.seq, tell);
