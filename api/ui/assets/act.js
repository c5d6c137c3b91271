// What an operator does to cells: a dialog that asks why, shows what would happen, and has
// the most dangerous of it typed. The page does not change here: it does when the event
// arrives.

import { api, say } from './base.js';

const dialog = document.getElementById('act');
const form = dialog?.querySelector('form');
const byId = (id) => document.getElementById(id);

// asked is the question about what would happen that waits for its answer; preview, the last
// answer; changed, that it became worse since somebody last chose what it is about; busy, that
// it is being done; refused, that it was tried and could not be.
let verb, asked, preview, changed = false, busy = false, refused = false;

// offer has the page's buttons open the dialog. filter gives what an action is about: free,
// if it may be changed, and then dropped, the words that it leaves out.
export function offer(scope, filter) {
  if (!dialog) return;
  scope.addEventListener('click', (e) => {
    const button = e.target.closest('button[data-verb]');
    if (button) begin(button.dataset.verb, filter(button), button);
  });
}

// begin opens the dialog.
function begin(name, filter, button) {
  verb = name;
  form.reset();
  byId('act-title').textContent = say('act.' + verb);
  byId('act-go').textContent = say('act.' + verb);
  byId('act-filter').hidden = !filter.free;
  for (const key of ['provider', 'target', 'account']) form.elements[key].value = filter[key] || '';
  byId('act-about').textContent = filter.free ? say('act.free') : [filter.account, filter.target].filter(Boolean).join(' · ');
  byId('act-for').hidden = verb !== 'suspend';
  byId('act-reason').required = verb === 'suspend';
  byId('act-wider').hidden = !filter.dropped?.length;
  byId('act-wider').querySelector('span').textContent = say('act.wider', (filter.dropped || []).join(' '));
  forget();
  byId('act-preview').replaceChildren();
  byId('act-confirm').hidden = true;
  wrong('');
  dialog.returnValue = '';
  dialog.showModal();
  byId('act-reason').focus();
  dialog.addEventListener('close', () => (twin(button) || document.getElementById('main')).focus(), { once: true });
  look();
}

// twin returns a button, or the one in its place if the page was made anew meanwhile.
export function twin(button) {
  if (button.isConnected) return button;
  return Array.from(document.querySelectorAll('button[data-verb]'))
    .find((b) => b.dataset.verb === button.dataset.verb && b.dataset.target === button.dataset.target);
}

// forget drops what was shown: it is about something else.
function forget() {
  asked = preview = undefined;
  changed = refused = false;
}

// body is what the API is asked.
function body(dry) {
  const b = {};
  for (const key of ['provider', 'target', 'account']) {
    if (form.elements[key].value.trim()) b[key] = form.elements[key].value.trim();
  }
  if (form.elements.reason.value.trim()) b.reason = form.elements.reason.value.trim();
  if (verb === 'suspend') {
    if (form.elements.for.value === 'forever') b.forever = true; else b.for = form.elements.for.value;
    if (dry && !b.reason) b.reason = '-';
  }
  if (dry) b.dry_run = true;
  return b;
}

// look asks what would happen, and reports whether it is no worse than what was shown. What
// was shown stays until then. Answers may come late: only the last question counts.
async function look() {
  const mine = asked = {};
  ready();
  const question = body(true);
  if (!question.provider && !question.target && !question.account) { // nothing is named yet
    byId('act-preview').replaceChildren();
    byId('act-confirm').hidden = true;
    asked = undefined;
    wrong('');
    return false;
  }
  let same = false;
  try {
    const answer = await api('POST', 'v1/' + verb, question);
    if (asked !== mine) return false;
    asked = undefined;
    same = !preview || !worse(preview, answer);
    changed ||= !same;
    preview = answer;
    show();
    if (changed) wrong(say('act.changed')); else if (!refused) wrong('');
  } catch (e) {
    if (asked !== mine) return false;
    asked = preview = undefined;
    byId('act-preview').replaceChildren();
    wrong(e.message, e.detail);
  }
  ready();
  return same;
}

// worse reports whether an answer has cells that another had not, or leaves less usable.
function worse(before, after) {
  const name = (c) => c.account + '\n' + c.target;
  const known = new Set(before.cells.map(name));
  return after.cells.some((c) => !known.has(name(c))) || after.usable.some((u) => {
    const was = before.usable.find((w) => w.provider === u.provider && w.group === u.group);
    return !was || u.after < was.after || (lost(u) && !lost(was));
  });
}

// lost reports whether a group would lose what it has left.
function lost(usable) { return usable.before > 0 && usable.after === 0; }

// again has an open dialog look once more, since a record may have changed what would happen:
// after a pause, as there may be many, and once the question before it has its answer.
let later;
export function again() {
  if (!dialog?.open || later) return;
  later = setTimeout(() => {
    later = undefined;
    if (asked) again(); else if (dialog.open && !busy) look();
  }, 250);
}

// show says what would happen, and asks to type what would leave a group with nothing.
function show() {
  const list = document.createElement('ul');
  const item = (text) => { const li = document.createElement('li'); li.textContent = text; list.append(li); };
  item(say('act.cells', preview.cells.length));
  for (const c of preview.cells.slice(0, 10)) item(c.account + ' · ' + c.target);
  if (preview.cells.length > 10) item('…');
  for (const u of preview.usable) {
    if (u.before !== u.after) item(say('act.usable', u.provider + ' ' + u.group, u.before, u.after, u.total));
  }
  if (preview.unchanged) item(preview.unchanged);
  byId('act-preview').replaceChildren(list);
  const gone = preview.usable.filter(lost);
  const confirm = byId('act-confirm');
  confirm.hidden = gone.length === 0;
  if (gone.length === 0) return;
  const label = say('act.confirm', gone.map((u) => u.provider + ' ' + u.group).join(', '), gone[0].group);
  if (confirm.querySelector('label').textContent === label) return;
  confirm.querySelector('label').textContent = label;
  confirm.dataset.word = gone[0].group;
  byId('act-typed').value = ''; // what was typed was about other groups
}

// wrong says what is wrong, with what the API says of it in English.
function wrong(text, detail = '') {
  const [words, more] = byId('act-wrong').children;
  words.textContent = text;
  more.textContent = detail;
  byId('act-wrong').hidden = !text && !detail;
}

// ready lets the button be pressed once all is known and typed.
function ready() {
  const confirm = byId('act-confirm');
  const typed = confirm.hidden || byId('act-typed').value.trim() === confirm.dataset.word;
  const reason = verb !== 'suspend' || form.elements.reason.value.trim() !== '';
  const meant = byId('act-wider').hidden || form.elements.wider.checked;
  byId('act-go').disabled = busy || !preview || preview.cells.length === 0 || !typed || !reason || !meant;
}

let typing;
form?.addEventListener('input', (e) => {
  const same = ['act-typed', 'act-reason', 'act-meant'].includes(e.target.id); // they change nothing of the preview
  if (!same) forget(); // what was shown is not what would be done now
  ready();
  if (same) return;
  clearTimeout(typing);
  typing = setTimeout(look, 200);
});
byId('act-cancel')?.addEventListener('click', () => dialog.close());

form?.addEventListener('submit', async (e) => {
  e.preventDefault();
  if (byId('act-go').disabled) return;
  busy = true;
  try {
    if (await look() && dialog.open && preview.cells.length > 0) await go();
  } finally {
    busy = false;
    ready();
  }
});

// go does what was shown.
async function go() {
  try {
    const answer = await api('POST', 'v1/' + verb, body(false));
    dialog.close('done');
    byId('act-said').textContent = say('act.done', say('act.' + verb), answer.cells.length, answer.seq ?? '–');
  } catch (problem) {
    refused = true;
    wrong(problem.message, problem.detail);
  }
}
