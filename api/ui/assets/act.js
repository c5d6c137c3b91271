// What an operator does to cells: a dialog that asks why, shows what would happen, and has
// the most dangerous of it typed. The page does not change here: it does when the event
// arrives.

import { api, say } from './base.js';

const dialog = document.getElementById('act');
const form = dialog?.querySelector('form');
const byId = (id) => document.getElementById(id);

let verb, asked, preview;

// offer has the page's buttons open the dialog. filter gives what an action is about.
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
  wrong('');
  dialog.returnValue = '';
  dialog.showModal();
  byId('act-reason').focus();
  dialog.addEventListener('close', () => { // the page may have been made anew meanwhile
    (button.isConnected ? button : document.querySelector(`button[data-verb="${name}"]`) || document.getElementById('main')).focus();
  }, { once: true });
  look();
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

// look asks what would happen. Answers may come late: only the last question counts.
async function look() {
  const mine = asked = {};
  preview = undefined;
  ready();
  const question = body(true);
  if (!question.provider && !question.target && !question.account) { // nothing is named yet
    byId('act-preview').replaceChildren();
    byId('act-confirm').hidden = true;
    wrong('');
    return;
  }
  try {
    const answer = await api('POST', 'v1/' + verb, question);
    if (asked !== mine) return;
    preview = answer;
    wrong('');
    show();
  } catch (e) {
    if (asked !== mine) return;
    byId('act-preview').replaceChildren();
    wrong(e.message);
  }
  ready();
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
  const lost = preview.usable.filter((u) => u.before > 0 && u.after === 0);
  const confirm = byId('act-confirm');
  confirm.hidden = lost.length === 0;
  if (lost.length > 0) {
    confirm.dataset.word = lost[0].group;
    confirm.querySelector('label').textContent = say('act.confirm', lost.map((u) => u.provider + ' ' + u.group).join(', '), lost[0].group);
  }
}

function wrong(text) {
  byId('act-wrong').textContent = text;
  byId('act-wrong').hidden = !text;
}

// ready lets the button be pressed once all is known and typed.
function ready() {
  const confirm = byId('act-confirm');
  const typed = confirm.hidden || byId('act-typed').value.trim() === confirm.dataset.word;
  const reason = verb !== 'suspend' || form.elements.reason.value.trim() !== '';
  byId('act-go').disabled = !preview || preview.cells.length === 0 || !typed || !reason;
}

let typing;
form?.addEventListener('input', (e) => {
  const same = e.target.id === 'act-typed' || e.target.name === 'reason'; // they change nothing of the preview
  if (!same) asked = preview = undefined; // what was shown is not what would be done now
  ready();
  if (same) return;
  clearTimeout(typing);
  typing = setTimeout(look, 200);
});
byId('act-cancel')?.addEventListener('click', () => dialog.close());

form?.addEventListener('submit', async (e) => {
  e.preventDefault();
  if (byId('act-go').disabled) return;
  byId('act-go').disabled = true;
  try {
    const answer = await api('POST', 'v1/' + verb, body(false));
    dialog.close('done');
    byId('act-said').textContent = say('act.done', say('act.' + verb), answer.cells.length, answer.seq ?? '–');
  } catch (problem) {
    wrong(problem.message);
    ready();
  }
});
