// The history: says how many newer records there are, and leaves the table alone, which
// somebody may be reading.

import { say } from './base.js';
import { follow } from './live.js';

const audit = document.getElementById('audit');
const newer = document.getElementById('newer');
let count = 0;

// Of the filters those that the stream has: the others are times.
let filter = '';
for (const [key, value] of new URL(location.href).searchParams) {
  if (value && ['account', 'target', 'kind', 'actor', 'correlation_id'].includes(key)) filter += '&' + key + '=' + encodeURIComponent(value);
}

follow(audit.dataset.seq, () => {
  count++;
  if (!('newest' in audit.dataset)) return;
  const link = document.createElement('a');
  link.href = location.href;
  link.textContent = say('js.newer', count);
  newer.replaceChildren(link);
}, filter);
