// One cell: its page is made anew whenever a record about the account arrives.

import { part, setTime, countDown } from './base.js';
import { follow, renewal } from './live.js';
import { offer, again, twin } from './act.js';

let cell = document.getElementById('cell');
setTime(cell.dataset.now);
if (!cell.dataset.at) countDown();
offer(document.getElementById('main'), (b) => ({ account: b.dataset.account, target: b.dataset.target }));

const renew = renewal(60, async () => {
  const fresh = (await part('ui/cell' + location.search)).querySelector('#cell');
  setTime(fresh.dataset.now);
  const held = cell.contains(document.activeElement) ? document.activeElement : undefined;
  cell.replaceWith(fresh);
  cell = fresh;
  if (held?.dataset.verb) (twin(held) || cell.querySelector('button, a'))?.focus();
});

// A past moment does not change.
if (!cell.dataset.at) {
  const account = cell.dataset.account;
  follow(cell.dataset.seq, (r) => {
    again();
    if (r.account === account || !r.account || (r.data?.cells || []).some((c) => c.account === account)) renew();
  });
}
