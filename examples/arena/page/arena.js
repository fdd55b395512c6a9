// The arena in a page. What it does with relink is in play(); the rest is drawing.

import { connect } from "./relink/relink.js";

const $ = (id) => document.getElementById(id);

// What is known of the game. The tests look at it, too.
const game = { conn: null, you: 0, width: 100, height: 60, names: new Map(), state: null, events: 0, wrong: 0, resumes: 0, lastGap: 0 };
globalThis.game = game;

async function play() {
  const { serverKey } = await (await fetch("config.json")).json();
  const conn = (game.conn = await enter("/play", { serverKey, resumeTimeout: 30_000, onstate: changed }));
  show("connected");
  $("cut").disabled = false;
  $("cut").onclick = () => conn.cut();
  await say({ type: "join", name: "browser " + Math.floor(Math.random() * 1000) });
  for await (const line of lines(conn)) heard(JSON.parse(line));
  throw new Error("the server has ended the game");
}

// enter connects. A session survives its network, but it has to begin on one: until then
// it is for the page to try again, unless trying again cannot help.
async function enter(path, options) {
  for (let pause = 250; ; pause = Math.min(2 * pause, 5000)) {
    try {
      return await connect(path, options);
    } catch (error) {
      if (hopeless.has(error.code)) throw error;
      show("connecting", error.message);
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    }
  }
}

// hopeless are the codes of errors that the next attempt would have as well.
const hopeless = new Set(["argument", "authentication", "denied", "unsupported"]);

// say writes a message. What steers is soon out of date, and is dropped without room.
const say = (message) => game.conn.write(JSON.stringify(message) + "\n");
const steer = (dx, dy) => game.conn?.tryWrite(JSON.stringify({ type: "move", dx, dy }) + "\n");

// A page that goes for good says so, so that the others do not see a ghost for half a
// minute. One that is only put aside may come back.
addEventListener("pagehide", (event) => {
  if (!event.persisted) game.conn?.abort().catch(() => {});
});

// lines makes lines of the stream.
async function* lines(conn) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of conn) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

function heard(message) {
  switch (message.type) {
    case "welcome":
      Object.assign(game, { you: message.you, width: message.width, height: message.height });
      break;
    case "state":
      game.state = message; // drawn with the next frame
      break;
    case "event":
      if (message.number !== game.events + 1) game.wrong++; // never, or relink is broken
      game.events = message.number;
      happened(message);
      break;
  }
}

const name = (player) => (player === game.you ? "you" : (game.names.get(player) ?? "player " + player));

function happened({ kind, player, name: called, score }) {
  if (kind === "joined") game.names.set(player, called);
  const what = {
    joined: () => name(player) + (player === game.you ? " are in" : " is in"),
    left: () => name(player) + " is gone",
    away: () => name(player) + (player === game.you ? " were away" : " is away"),
    back: () => name(player) + (player === game.you ? " are back" : " is back"),
    coin: () => name(player) + (player === game.you ? " have " : " has ") + score,
  }[kind]();
  if (kind === "left") game.names.delete(player);
  log(what);
}

function log(text) {
  const item = document.createElement("li");
  item.textContent = text;
  $("log").prepend(item);
  while ($("log").childElementCount > 100) $("log").lastChild.remove();
}

// changed is told what becomes of the network. The game above goes on without.
function changed(event) {
  switch (event.kind) {
    case "suspended":
      show("suspended");
      break;
    case "resumed":
      game.resumes++;
      game.lastGap = event.gap;
      show("connected");
      break;
    case "closed":
      show("gone", event.error?.message);
      break;
  }
}

function show(state, why) {
  $("state").dataset.state = state;
  $("state").textContent = { connecting: "connecting… " + (why ?? ""), connected: "connected", suspended: "no network – coming back…", gone: "the game is over for you: " + (why ?? "closed") + ". Reload to play again." }[state];
}

// Steering.

const held = new Set();
const directions = {
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
  KeyW: [0, -1], KeyS: [0, 1], KeyA: [-1, 0], KeyD: [1, 0],
};

function steerByKeys() {
  let [dx, dy] = [0, 0];
  for (const code of held) {
    dx += directions[code][0];
    dy += directions[code][1];
  }
  steer(dx, dy);
}

addEventListener("keydown", (event) => {
  if (!directions[event.code] || event.repeat) return;
  event.preventDefault();
  held.add(event.code);
  steerByKeys();
});
addEventListener("keyup", (event) => {
  if (held.delete(event.code)) steerByKeys();
});
addEventListener("blur", () => {
  if (held.size) {
    held.clear();
    steerByKeys();
  }
});

function steerByFinger(event) {
  if (!event.buttons) return;
  const me = game.state?.players?.find(([number]) => number === game.you);
  const box = $("field").getBoundingClientRect();
  if (!me) return;
  const dx = ((event.clientX - box.left) / box.width) * game.width - me[1] / 10;
  const dy = ((event.clientY - box.top) / box.height) * game.height - me[2] / 10;
  const far = Math.hypot(dx, dy);
  steer(far > 1 ? dx / far : 0, far > 1 ? dy / far : 0);
}
$("field").addEventListener("pointerdown", steerByFinger);
$("field").addEventListener("pointermove", steerByFinger);
$("field").addEventListener("pointerup", () => steer(0, 0));

// Drawing.

function draw() {
  requestAnimationFrame(draw);
  const state = game.state;
  if (!state) return;
  const canvas = $("field");
  const scale = devicePixelRatio || 1;
  const [w, h] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, w, h);
  const unit = w / game.width / 10; // positions are in tenths
  const circle = (x, y, r, fill) => {
    context.beginPath();
    context.arc(x * unit, y * unit, r * scale, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.fill();
  };
  for (const [x, y] of state.coins ?? []) circle(x, y, 5, resolved("--coin"));
  context.font = 11 * scale + "px system-ui";
  context.textAlign = "center";
  for (const [number, x, y, , away] of state.players ?? []) {
    context.globalAlpha = away ? 0.35 : 1;
    circle(x, y, number === game.you ? 9 : 7, number === game.you ? resolved("--me") : `hsl(${(number * 67) % 360} 55% 50%)`);
    context.fillStyle = resolved("--text");
    if (state.players.length <= 12 || number === game.you) context.fillText(name(number), x * unit, y * unit + (y < 40 ? 22 : -13) * scale);
  }
  context.globalAlpha = 1;
}

// resolved returns a colour as the canvas takes it: light-dark() is for style sheets.
const probe = document.createElement("i");
document.body.append(probe);
function resolved(variable) {
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

// The numbers change five times a second, which is as fast as one reads.
setInterval(() => {
  const { conn, state } = game;
  if (!conn || !state) return;
  const stats = conn.stats;
  $("events").textContent = game.events;
  $("wrong").textContent = game.wrong;
  $("wrong").className = game.wrong ? "bad" : "";
  $("resumes").textContent = stats.resumes;
  $("gap").textContent = stats.resumes ? game.lastGap + " ms" : "–";
  $("longest").textContent = stats.resumes ? stats.longestGap + " ms" : "–";
  $("replayed").textContent = stats.replayed;
  const scores = [...(state.players ?? [])].sort((a, b) => b[3] - a[3]);
  const shown = scores.slice(0, 10);
  const me = scores.find(([number]) => number === game.you);
  if (me && !shown.includes(me)) shown.push(me);
  $("scores").replaceChildren(
    ...shown.map(([number, , , score, away]) => {
      const item = document.createElement("li");
      item.className = number === game.you ? "me" : away ? "away" : "";
      for (const text of [name(number), score]) item.append(Object.assign(document.createElement("span"), { textContent: text }));
      return item;
    }),
  );
}, 200);

requestAnimationFrame(draw);
play().catch((error) => show("gone", error.message));
