// Streams that survive the loss of their network, in a page. See README.md beside it.
//
//	import { load, connect } from "./relink.js";
//
//	await load();                       // relink.wasm and wasm_exec.js, from beside this file
//	const conn = await connect("wss://game.example/relink", { serverKey: "…" });
//	conn.onstate = (event) => console.log(event.kind, event.gap);
//	await conn.write("hello\n");
//	for await (const chunk of conn) console.log(chunk.length);

let loading = null; // the promise of load
let go = null; // what WebAssembly offers: see main.go

/**
 * Loads the WebAssembly program, once. Both addresses are by default beside this file.
 * A load that has failed may be tried again.
 */
export function load({ wasm = new URL("relink.wasm", import.meta.url), exec = new URL("wasm_exec.js", import.meta.url) } = {}) {
  loading ??= start(wasm, exec).catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function start(wasm, exec) {
  if (typeof globalThis.Go === "undefined") {
    await import(exec);
  }
  const runtime = new globalThis.Go();
  const response = await fetch(wasm);
  if (!response.ok) {
    throw failure("network", `${wasm} could not be loaded: status ${response.status}`);
  }
  // Streaming wants the type application/wasm, which not every server says.
  const { instance } =
    response.headers.get("Content-Type") === "application/wasm"
      ? await WebAssembly.instantiateStreaming(response, runtime.importObject)
      : await WebAssembly.instantiate(await response.arrayBuffer(), runtime.importObject);
  const ready = new Promise((resolve) => {
    globalThis.relinkIsReady = (functions) => {
      delete globalThis.relinkIsReady;
      resolve(functions);
    };
  });
  runtime.run(instance).then(() => {
    go = null; // a fault of the runtime; connections are lost, and load begins anew
    loading = null;
  });
  go = await ready;
}

function failure(code, message) {
  return Object.assign(new Error(`relink: ${message}`), { code });
}

/** Calls what returns at once, and throws what it returns as an error. */
function call(name, ...args) {
  if (!go) throw failure("internal", "load() has not been called, or has not succeeded");
  const result = go[name](...args);
  if (result instanceof Error) throw result;
  return result;
}

const text = new TextEncoder();

/** Makes bytes of a string, an ArrayBuffer, or any view of one. */
function bytes(data) {
  if (typeof data === "string") return text.encode(data);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return data; // the error says what it is
}

// A connection that the page has lost without closing it is aborted.
const lost = new FinalizationRegistry((number) => {
  if (!go) return;
  go.abort(number).catch(() => {});
  go.forget(number);
});

/**
 * Connects, and resolves to a Connection. url is ws://, wss://, or a path at the page's
 * own server. The options are listed in README.md.
 */
export async function connect(url, options = {}) {
  await load();
  const { onstate, ...rest } = options;
  const listener = { handle: onstate ?? null }; // and not the connection, which could never be lost then
  const { number, id, suite } = await call("connect", url, rest, (event) => listener.handle?.(event));
  return new Connection(number, id, suite, listener);
}

class Connection {
  #number;
  #listener;

  constructor(number, id, suite, listener) {
    this.#number = number;
    this.#listener = listener;
    /** What names the session, here and in the server's log. */
    this.id = id;
    /** The suite, as the server's log names it. */
    this.suite = suite;
    lost.register(this, number, this);
  }

  /** Is called with { kind, time, gap, replayed, error } when the state changes. */
  get onstate() {
    return this.#listener.handle;
  }
  set onstate(handle) {
    this.#listener.handle = handle;
  }

  /** Resolves to a Uint8Array of up to max bytes, or to null at the end of the stream. */
  read(max) {
    return call("read", this.#number, max);
  }

  /** Resolves when all of data (a string or bytes) is in the buffer. One at a time keeps the order. */
  write(data) {
    return call("write", this.#number, bytes(data));
  }

  /** Takes all of data at once, or nothing: then it returns false. */
  tryWrite(data) {
    return call("tryWrite", this.#number, bytes(data));
  }

  /** How many bytes a write takes now without waiting. */
  get room() {
    return call("room", this.#number);
  }

  /** Resolves when the peer has got all that was written; fails after so many milliseconds. */
  flush(milliseconds) {
    return call("flush", this.#number, milliseconds);
  }

  /** Ends the stream to the peer; what it sends can still be read. */
  closeWrite() {
    return call("closeWrite", this.#number);
  }

  /** Ends the session. Resolves when the peer has got everything; fails after so many milliseconds. */
  async close(milliseconds) {
    try {
      return await call("close", this.#number, milliseconds);
    } finally {
      this.#forget();
    }
  }

  /** Ends the session at once; the peer gets an error. */
  async abort() {
    try {
      return await call("abort", this.#number);
    } finally {
      this.#forget();
    }
  }

  #forget() {
    lost.unregister(this);
    go?.forget(this.#number);
  }

  /** Says that the network has changed; with the option watch this is done for you. */
  networkChanged() {
    call("networkChanged", this.#number);
  }

  /** Drops the transport, as a network does, for trying. The session goes on. */
  cut() {
    call("cut", this.#number);
  }

  /** "connected", "suspended", … */
  get state() {
    return call("state", this.#number);
  }

  /** Counts: bytesRead, bytesWritten, bytesPending, resumes, replayed, longestGap (ms), memory. */
  get stats() {
    return call("stats", this.#number);
  }

  async *[Symbol.asyncIterator]() {
    for (let chunk; (chunk = await this.read()) !== null; ) yield chunk;
  }
}
