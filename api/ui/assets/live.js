// The history as it is made, over server-sent events, through restarts of the daemon.

import { root, say, leave } from './base.js';

const light = document.getElementById('live');
let connected = false, late = 0;

// show says how the page stands to the daemon.
function show() {
  const [state, text] = !connected ? ['reconnecting', '◌ ' + say('js.reconnecting')]
    : late > 0 ? ['behind', '◌ ' + say('js.behind', late)] : ['live', '● ' + say('js.live')];
  if (light.dataset.state === state && light.textContent === text) return;
  light.dataset.state = state;
  light.textContent = text;
}

// follow calls each record after seq once, in order; filter is a query of the stream's.
// Pauses between attempts grow to 5 s.
export function follow(seq, take, filter = '') {
  let last = Number(seq), pause = 500, turn = 0, timer, source;
  const stop = () => {
    turn++;
    clearTimeout(timer);
    source?.close();
    connected = false;
  };
  const connect = () => {
    source = new EventSource(root + 'v1/events/stream?after=' + last + filter);
    source.onopen = () => { pause = 500; connected = true; show(); };
    source.onmessage = (m) => {
      const id = Number(m.lastEventId);
      if (!m.data || !(id > last)) return; // an id alone, or one that was seen
      last = id;
      take(JSON.parse(m.data));
    };
    source.onerror = () => {
      stop();
      show();
      timer = setTimeout(again, pause);
      pause = Math.min(pause * 2, 5000);
    };
  };
  // EventSource tells no status: a session that has ended would be tried for ever, and a log
  // that an older one was put in the place of.
  const again = async () => {
    stop();
    const mine = turn;
    try {
      const answer = await fetch(root + 'v1/head');
      if (answer.status === 401) { leave(); return; }
      if (answer.ok && (await answer.json()).seq < last) { location.reload(); return; }
    } catch { /* the daemon is away */ }
    if (mine === turn) connect();
  };
  if (!document.hidden) connect();
  // A browser opens six connections to a server for all of its tabs: those that nobody sees
  // leave them to the others, and go on where they were.
  document.addEventListener('visibilitychange', () => { if (document.hidden) stop(); else again(); });
  addEventListener('pagehide', stop);
  addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); }); // kept by the browser: it is old
}

// behind says how many records are not shown yet.
export function behind(n) {
  late = n;
  show();
}

// renewal returns a function that has the page made anew, after a pause: once at a time, and
// again for what came while it was made, which may not be in it.
export function renewal(pause, make) {
  let timer, busy = false, more = false;
  const ask = (after) => { timer ||= setTimeout(run, after); };
  const run = async () => {
    timer = undefined;
    if (busy) { more = true; return; }
    busy = true;
    more = false;
    let after = pause;
    try {
      await make();
    } catch (e) {
      if (e.status < 500) { location.reload(); return; } // what it was about is gone: it says so
      more = true; // the daemon is away
      after = 1000;
    } finally {
      busy = false;
    }
    if (more) ask(after); else behind(0);
  };
  return () => ask(pause);
}
