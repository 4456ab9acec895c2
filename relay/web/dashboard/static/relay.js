// What the pages gain where scripts run: times in the reader's own zone, and no second press of a button.
"use strict";

function localTimes(root) {
  root.querySelectorAll("time[datetime]").forEach(function (one) {
    if (one.dataset.local) return;
    const at = new Date(one.getAttribute("datetime"));
    if (isNaN(at)) return;
    const two = function (value) { return String(value).padStart(2, "0"); };
    one.title = one.getAttribute("datetime");
    one.textContent = at.getFullYear() + "-" + two(at.getMonth() + 1) + "-" + two(at.getDate()) + " " +
      two(at.getHours()) + ":" + two(at.getMinutes()) + ":" + two(at.getSeconds());
    one.dataset.local = "yes";
  });
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = "Times are those of " + Intl.DateTimeFormat().resolvedOptions().timeZone + ".";
}

document.addEventListener("DOMContentLoaded", function () { localTimes(document); });
document.addEventListener("htmx:afterSettle", function (event) { localTimes(event.target); });
document.addEventListener("htmx:sseMessage", function () { trim(); localTimes(document); });

// A live list keeps what a page holds.
function trim() {
  const rows = document.querySelectorAll("#live > tr");
  for (let at = 200; at < rows.length; at++) rows[at].remove();
  const none = document.getElementById("none");
  if (none && rows.length) none.remove();
}

document.addEventListener("submit", function (event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", function () {
  document.querySelectorAll("form[data-sent]").forEach(function (form) { delete form.dataset.sent; });
});
