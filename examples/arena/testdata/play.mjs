// Plays the arena in two tabs of a headless Chromium, whose transports the server cuts:
// node play.mjs URL CHROMIUM SCREENSHOTS
// Whatever is not as it must be ends it with status 1.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
const { chromium } = createRequire(process.env.RELINK_PLAYWRIGHT + "/")("playwright-core");

const [, , url, executablePath, screenshots] = process.argv;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] }); // it is root's in a container
const said = [];

// A tab in the background draws nothing, so that its frames are no clock.
const until = (tab, condition, argument) => tab.waitForFunction(condition, argument, { timeout: 120_000, polling: 100 });

async function open(context) {
  const tab = await context.newPage();
  tab.on("pageerror", (error) => said.push(error.message));
  await tab.goto(url);
  await until(tab, () => globalThis.game?.events > 0 && game.state);
  return tab;
}

const look = (tab) => tab.evaluate(() => ({ id: game.conn.id, events: game.events, wrong: game.wrong, state: game.conn.state, ...game.conn.stats }));

try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const tabs = [await open(context), await open(context)];

  // A network that is not there at first: the page tries again.
  const unlucky = await browser.newContext();
  let refused = 0;
  await unlucky.routeWebSocket(/\/play$/, (socket) => (refused++ < 2 ? socket.close() : socket.connectToServer()));
  await (await open(unlucky)).close();
  assert.ok(refused >= 3); // the server cuts as well
  await unlucky.close();

  // The server cuts; every event comes once and in order.
  for (const tab of tabs) await until(tab, () => game.resumes >= 25);
  for (const tab of tabs) {
    const { wrong, events, resumes } = await look(tab);
    assert.equal(wrong, 0, "lost or doubled");
    assert.ok(events > 0 && resumes >= 25);
  }

  // The button.
  const before = await look(tabs[0]);
  await tabs[0].click("#cut");
  await until(tabs[0], (n) => game.conn.stats.resumes > n, before.resumes);

  // Steering arrives.
  const at = () => tabs[0].evaluate(() => game.state.players.find(([n]) => n === game.you).slice(1, 3));
  const [x] = await at();
  const key = x > 500 ? "ArrowLeft" : "ArrowRight";
  await tabs[0].keyboard.down(key);
  await until(tabs[0], (x) => Math.abs(game.state.players.find(([n]) => n === game.you)[1] - x) > 50, x);
  await tabs[0].keyboard.up(key);

  // Three seconds without a network, then on at once where it was.
  await context.setOffline(true);
  await tabs[0].evaluate(() => game.conn.cut()); // a browser that is set offline leaves WebSockets open
  await until(tabs[0], () => game.conn.state === "suspended");
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.equal((await look(tabs[0])).state, "suspended", "a browser that is offline has connected");
  await context.setOffline(false);
  await until(tabs[0], () => game.conn.state === "connected");
  const after = await look(tabs[0]);
  assert.equal(after.id, before.id, "another session");
  assert.equal(after.wrong, 0, "lost or doubled");
  assert.ok(after.longestGap >= 2500, `a gap of ${after.longestGap} ms`);

  // A reload is a new player.
  await tabs[1].reload();
  await until(tabs[1], () => globalThis.game?.events > 0);
  assert.notEqual((await look(tabs[1])).id, before.id);

  for (const [name, colorScheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], ["narrow", "dark", 390]]) {
    await tabs[0].emulateMedia({ colorScheme });
    await tabs[0].setViewportSize({ width, height: 900 });
    await tabs[0].waitForTimeout(500); // the numbers change five times a second
    await tabs[0].screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
  }

  // Mistakes of a page are errors with a code, and nothing else.
  const codes = await tabs[0].evaluate(async () => {
    const { connect } = await import("/relink/relink.js");
    const code = (promise) => promise.then(() => "none", (error) => error.code ?? String(error));
    const { serverKey } = await (await fetch("/config.json")).json();
    const stranger = "A" + serverKey.slice(1) === serverKey ? "B" + serverKey.slice(1) : "A" + serverKey.slice(1);
    return {
      noKey: await code(connect("/play")),
      badKey: await code(connect("/play", { serverKey: "x" })),
      misspelt: await code(connect("/play", { serverKey, serverKeys: [] })),
      badTime: await code(connect("/play", { serverKey, connectTimeout: -1 })),
      noURL: await code(connect("play", { serverKey })),
      nobody: await code(connect("ws://127.0.0.1:9/", { serverKey })),
      otherServer: await code(connect("/play", { serverKey: stranger })),
      noData: await code((async () => game.conn.write(undefined))()),
      badRead: await code((async () => game.conn.read(0))()),
      closed: await code(
        (async () => {
          const conn = await connect("/play", { serverKey });
          await conn.close();
          await conn.read();
        })(),
      ),
    };
  });
  assert.deepEqual(codes, {
    noKey: "argument", badKey: "argument", misspelt: "argument", badTime: "argument", noURL: "network", nobody: "network",
    otherServer: "authentication", noData: "argument", badRead: "argument", closed: "argument",
  });
  assert.equal((await look(tabs[0])).state, "connected", "the mistakes harmed another session");
  assert.deepEqual(said, [], "errors in the page");
  const { resumes, replayed, events } = await look(tabs[0]);
  console.log(`${resumes} resumes, ${events} events, ${replayed} bytes sent again by the page`);
} finally {
  await browser.close();
}
