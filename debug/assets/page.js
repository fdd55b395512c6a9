// The page is live: its changing part comes again and again, while somebody looks.
const main = document.getElementById("live"), pulse = document.getElementById("pulse");
let source = null;

function show(html) {
  // Not under a finger, and the focus stays where it is.
  if (main.querySelector(":active") || String(getSelection())) return;
  const focused = document.activeElement?.id, scrolled = [...main.querySelectorAll(".scroll")].map(e => e.scrollLeft);
  main.innerHTML = html;
  main.querySelectorAll(".scroll").forEach((e, i) => { e.scrollLeft = scrolled[i] ?? 0 });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function look() {
  const wanted = document.visibilityState === "visible";
  if (wanted && !source) {
    source = new EventSource(main.dataset.live);
    source.onmessage = e => { pulse.hidden = false; pulse.className = ""; pulse.textContent = "live"; show(e.data) };
    source.onerror = () => { pulse.className = "lost"; pulse.textContent = "not live" };
  } else if (!wanted && source) {
    source.close();
    source = null;
  }
}
document.addEventListener("visibilitychange", look);
look();
