// How the daemon is: made anew as the history grows, at most once a second.

import { part, setTime, countDown } from './base.js';
import { follow, behind } from './live.js';

let status = document.getElementById('status');
setTime(status.dataset.now);
countDown();

let timer;
follow(status.dataset.seq, () => {
  timer ||= setTimeout(async () => {
    try {
      const fresh = (await part('ui/status')).querySelector('#status');
      setTime(fresh.dataset.now);
      status.replaceWith(fresh);
      status = fresh;
      behind(0);
    } catch { /* the daemon is away; the next record tries again */ }
    timer = undefined;
  }, 1000);
});
