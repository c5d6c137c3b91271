// The history as it is made, over server-sent events, through restarts of the daemon.

import { root, say, leave } from './base.js';

const light = document.getElementById('live');

// show says how the page stands to the daemon.
function show(state, text) {
  if (light.dataset.state === state && light.textContent === text) return;
  light.dataset.state = state;
  light.textContent = text;
}

// follow calls each record after seq once, in order. Pauses between attempts grow to 5 s.
export function follow(seq, take) {
  let last = Number(seq), pause = 500, source;
  const connect = () => {
    source = new EventSource(root + 'v1/events/stream?after=' + last);
    source.onopen = () => { pause = 500; show('live', '● ' + say('js.live')); };
    source.onmessage = (m) => {
      const id = Number(m.lastEventId);
      if (!m.data || !(id > last)) return; // an id alone, or one that was seen
      last = id;
      take(JSON.parse(m.data));
    };
    source.onerror = () => {
      source.close();
      show('reconnecting', '◌ ' + say('js.reconnecting'));
      setTimeout(again, pause);
      pause = Math.min(pause * 2, 5000);
    };
  };
  // EventSource tells no status: a session that has ended would be tried for ever.
  const again = async () => {
    try {
      const answer = await fetch(root + 'v1/session');
      if (answer.status === 401) { leave(); return; }
    } catch { /* the daemon is away */ }
    connect();
  };
  connect();
  addEventListener('pagehide', () => source.close());
  return { get seq() { return last; } };
}

// behind says how many records are not shown yet.
export function behind(n) {
  if (n > 0) show('behind', '◌ ' + say('js.behind', n));
  else show('live', '● ' + say('js.live'));
}
