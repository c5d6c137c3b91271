// The key lives in this variable and nowhere else. Everything that is shown comes from
// the host as text and is written as text.
"use strict";

const base = "/v0/management/";
const find = (id) => document.getElementById(id);
let key = "";

function note(text) { find("note").textContent = text; }

async function call(method, path, body) {
  const answer = await fetch(base + path, {
    method,
    headers: Object.assign({ Authorization: "Bearer " + key }, body ? { "Content-Type": "application/json" } : {}),
    body: body ? JSON.stringify(body) : undefined,
    credentials: "omit",
    cache: "no-store",
  });
  const text = await answer.text();
  let doc = {};
  try { doc = JSON.parse(text); } catch { doc = { error: text }; }
  if (!answer.ok) throw new Error(String(doc.detail || doc.error || answer.status));
  return doc;
}

function row(cells) {
  const tr = document.createElement("tr");
  for (const c of cells) {
    const td = document.createElement("td");
    if (c instanceof Node) td.append(c); else td.textContent = c == null ? "" : String(c);
    tr.append(td);
  }
  return tr;
}

function button(label, act) {
  const b = document.createElement("button");
  b.type = "button";
  b.textContent = label;
  b.addEventListener("click", () => run(async () => { await act(); await show(); }));
  return b;
}

function verbs(i) {
  const box = document.createElement("span");
  const manual = (on, reason) => call("PATCH", "auth-files/quota-groups/manual",
    { auth_id: i.auth_id, group_id: i.group_id, manual_suspended: on, reason });
  if (i.manual_suspended) {
    box.append(button("Lift", () => manual(false)));
  } else {
    box.append(button("Suspend", async () => {
      const reason = prompt("Why is " + i.auth_id + " suspended for " + i.group_id + "?");
      if (reason) await manual(true, reason);
    }));
  }
  if (i.auto_reason) {
    box.append(button("Clear", () => call("PATCH", "auth-files/quota-groups/auto/clear", { auth_id: i.auth_id, group_id: i.group_id })));
  }
  return box;
}

async function show() {
  const [items, events] = await Promise.all([
    call("GET", "auth-files/quota-groups"), call("GET", "abeyance/events?page_size=20"),
  ]);
  find("items").replaceChildren(...items.items.map((i) => {
    const tr = row([i.auth_id, i.label || i.group_id, i.effective_status, i.auto_suspended_until,
      i.manual_suspended ? i.manual_reason : i.auto_reason, verbs(i)]);
    if (i.effective_status !== "available") tr.className = "blocked";
    return tr;
  }));
  find("events").replaceChildren(...events.items.map((e) => row([e.seq, e.at, e.kind, e.account, e.actor])));
  find("data").hidden = false;
  find("login").hidden = true;
  note(items.items.length ? "" : "No account is known yet: the first request of a client makes its accounts known.");
}

async function run(act) {
  try { note(""); await act(); } catch (e) { note(e.message); }
}

find("login").addEventListener("submit", (e) => {
  e.preventDefault();
  key = find("key").value;
  find("key").value = "";
  run(show);
});
find("refresh").addEventListener("click", () => run(show));
