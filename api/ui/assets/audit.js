// The history: says how many newer records there are, and leaves the table alone, which
// somebody may be reading.

import { say } from './base.js';
import { follow } from './live.js';

const audit = document.getElementById('audit');
const newer = document.getElementById('newer');
let count = 0;

follow(audit.dataset.seq, () => {
  count++;
  if (!('newest' in audit.dataset)) return;
  const link = document.createElement('a');
  link.href = location.href;
  link.textContent = say('js.newer', count);
  newer.replaceChildren(link);
});
