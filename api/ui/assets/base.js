// What all pages share: where the root is, the words, the server's time.

export const root = document.documentElement.dataset.root;
const words = JSON.parse(document.body.dataset.words);

// say returns a text of the catalogue. %d, %s and numbered verbs are replaced in order.
export function say(key, ...values) {
  let next = 0;
  return (words[key] ?? key).replace(/%(?:\[(\d+)\])?[ds]/g, (_, n) => String(values[n ? n - 1 : next++]));
}

// The browser's clock may be wrong: what counts is the server's, as of the last answer.
let ahead = 0;

// setTime notes what the server's clock said just now.
export function setTime(iso) {
  const at = Date.parse(iso);
  if (!Number.isNaN(at)) ahead = at - Date.now();
}

export function now() { return Date.now() + ahead; }

// left says how long it is until an instant, as the server's pages do.
export function left(iso) {
  const ms = Date.parse(iso) - now();
  return ms <= 0 ? say('time.due') : say('time.in', span(ms));
}

// span is a length of time in words.
export function span(ms) {
  const s = Math.ceil(ms / 1000);
  const days = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24, minutes = Math.floor(s / 60) % 60;
  if (days > 0) return say('time.dh', days, hours);
  if (hours > 0) return say('time.hm', hours, minutes);
  if (minutes > 0) return say('time.ms', minutes, s % 60);
  return say('time.s', s);
}

// countDown keeps all countdowns of the page right, and says when a probe falls due.
export function countDown() {
  const tick = () => {
    for (const t of document.querySelectorAll('time.left')) {
      const text = left(t.dateTime);
      if (t.textContent !== text) t.textContent = text;
    }
    for (const origin of document.querySelectorAll('[data-probe]')) {
      if (Date.parse(origin.dataset.probe) > now()) continue;
      origin.textContent = origin.textContent.replace(say('origin.automatic'), say('origin.probe'));
      delete origin.dataset.probe;
    }
  };
  tick();
  setInterval(tick, 1000);
}

// part asks the server for a part of a page, as a document of its own: scripts in it
// would not run. An ended session asks to log in.
export async function part(path, signal) {
  const answer = await fetch(root + path, { headers: { 'X-Abeyance-Part': '1' }, signal, redirect: 'error' });
  if (answer.status === 401) { leave(); throw new Error('logged out'); }
  const body = new DOMParser().parseFromString(await answer.text(), 'text/html').body;
  if (answer.ok) return body;
  const why = body.querySelector('[role="alert"]')?.textContent || 'HTTP ' + answer.status;
  throw Object.assign(new Error(why), { status: answer.status });
}

// here is the page's address below the root, with what scripts have noted in it.
function here() { return location.pathname.slice(new URL(root, location.href).pathname.length) + location.search; }

// leave goes to the login, and comes back here after it.
export function leave() { location.assign(root + 'ui/login?next=' + encodeURIComponent(here())); }

// Another language or other colours come back here too.
const settings = document.querySelector('form.settings');
settings.addEventListener('submit', () => { settings.elements.next.value = here(); });

// api calls the API. A problem is thrown: the text of its code, and what the API says of it.
export async function api(method, path, body) {
  const init = { method, headers: {} };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers['Content-Type'] = 'application/json';
  }
  const answer = await fetch(root + path, init);
  const value = await answer.json().catch(() => ({ detail: 'HTTP ' + answer.status }));
  if (answer.status === 401) leave();
  if (!answer.ok) throw Object.assign(new Error(value.code ? say('code.' + value.code) : ''), { detail: value.detail || value.title });
  return value;
}
