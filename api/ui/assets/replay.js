// The past: a slider over the records of a range, the pool as of each, and what changed.

import { part, say } from './base.js';

const slider = document.getElementById('slider');
const play = document.getElementById('play');
const problem = document.getElementById('problem');
let moment = document.getElementById('moment');

// states :: account and target → what the cell shows
function states(of) {
  const all = new Map();
  for (const c of of.querySelectorAll('[data-status]')) {
    const row = c.closest('tr');
    all.set(row.dataset.account + '\n' + c.dataset.target, c.dataset.status + (c.dataset.back || ''));
  }
  return all;
}

let asked, question;

// go shows a moment. Of several asked for in a hurry the last one counts.
async function go(at) {
  asked?.abort();
  const mine = asked = new AbortController();
  question = at;
  try {
    const fresh = (await part('ui/replay?at=' + encodeURIComponent(at), mine.signal)).querySelector('#moment');
    const before = states(moment);
    for (const c of fresh.querySelectorAll('[data-status]')) {
      const key = c.closest('tr').dataset.account + '\n' + c.dataset.target;
      if (before.get(key) !== c.dataset.status + (c.dataset.back || '')) c.classList.add('changed');
    }
    moment.replaceWith(fresh);
    moment = fresh;
    slider.value = moment.dataset.seq;
    problem.hidden = true;
    const here = new URL(location.href);
    here.searchParams.set('at', at);
    history.replaceState(null, '', here);
  } catch (e) {
    if (mine.signal.aborted) return;
    stop();
    problem.textContent = e.message;
    problem.hidden = false;
  } finally {
    if (asked === mine) asked = question = undefined;
  }
}

const seq = () => Number(question?.startsWith('seq:') ? question.slice(4) : moment.dataset.seq);
const step = (n) => {
  const to = Math.min(Math.max(seq() + n, Number(slider.min)), Number(slider.max));
  if (to === seq()) return false;
  go('seq:' + to);
  return true;
};
const minute = (n) => go(n < 0 ? moment.dataset.minuteBack : moment.dataset.minuteNext);

slider.addEventListener('input', () => go('seq:' + slider.value));

// Play: a record at a time, as fast as they can be shown, four a second at most.
let playing;
function stop() {
  clearInterval(playing);
  playing = undefined;
  play.textContent = say('js.play');
  play.setAttribute('aria-pressed', 'false');
}
function start() {
  play.textContent = say('js.pause');
  play.setAttribute('aria-pressed', 'true');
  playing = setInterval(() => { if (!asked && !step(1)) stop(); }, 250);
}
const toggle = () => (playing ? stop() : start());

document.getElementById('back').addEventListener('click', () => step(-1));
document.getElementById('next').addEventListener('click', () => step(1));
document.getElementById('minute-back').addEventListener('click', () => minute(-1));
document.getElementById('minute-next').addEventListener('click', () => minute(1));
play.addEventListener('click', toggle);

document.addEventListener('keydown', (e) => {
  if (e.target.closest('input:not([type="range"]), select, textarea') || e.ctrlKey || e.metaKey || e.altKey) return;
  const keys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), PageUp: () => minute(-1), PageDown: () => minute(1),
    Home: () => go('seq:' + slider.min), End: () => go('seq:' + slider.max),
  };
  if (e.key === ' ' && !e.target.closest('button, a')) { e.preventDefault(); toggle(); return; }
  if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
});
