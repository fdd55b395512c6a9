/** Loads the WebAssembly program, once. Both addresses are by default beside relink.js. */
export function load(places?: { wasm?: string | URL; exec?: string | URL }): Promise<void>;

/** Connects. url is ws://, wss://, or a path at the page's own server. */
export function connect(url: string, options?: Options): Promise<Connection>;

/** All times are in milliseconds. README.md has the defaults. */
export interface Options {
  suite?: "noise" | "insecure-noise" | "dh64rc4" | "scp";
  serverKey?: string | string[];
  clientKey?: string;
  presharedKey?: string;
  target?: string;
  subprotocol?: string;
  replayLimit?: number;
  connectTimeout?: number;
  attemptTimeout?: number;
  resumeTimeout?: number;
  closeTimeout?: number;
  livenessTimeout?: number;
  minBackoff?: number;
  maxBackoff?: number;
  watch?: boolean;
  onstate?: (event: StateEvent) => void;
}

/** Every promise of a connection that fails has one of these. */
export interface RelinkError extends Error {
  code: string;
}

export interface StateEvent {
  kind: "opened" | "suspended" | "resuming" | "resumed" | "closed";
  time: number;
  gap: number;
  replayed: number;
  dropped: number;
  error?: RelinkError;
}

export interface Connection extends AsyncIterable<Uint8Array> {
  readonly id: string;
  readonly suite: string;
  readonly state: string;
  readonly room: number;
  readonly stats: {
    bytesRead: number;
    bytesWritten: number;
    bytesPending: number;
    resumes: number;
    replayed: number;
    longestGap: number;
    memory: number;
  };
  onstate: ((event: StateEvent) => void) | null;
  read(max?: number): Promise<Uint8Array | null>;
  write(data: string | BufferSource): Promise<void>;
  tryWrite(data: string | BufferSource): boolean;
  flush(milliseconds?: number): Promise<void>;
  closeWrite(): Promise<void>;
  close(milliseconds?: number): Promise<void>;
  abort(): Promise<void>;
  networkChanged(): void;
  cut(): void;
}
