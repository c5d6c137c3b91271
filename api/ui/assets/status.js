// How the daemon is: made anew as the history grows, at most once a second.

import { part, setTime, countDown } from './base.js';
import { follow, renewal } from './live.js';

let status = document.getElementById('status');
setTime(status.dataset.now);
countDown();

follow(status.dataset.seq, renewal(1000, async () => {
  const fresh = (await part('ui/status')).querySelector('#status');
  setTime(fresh.dataset.now);
  status.replaceWith(fresh);
  status = fresh;
}));
