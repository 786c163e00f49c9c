import type { ZookeeperClient } from './zookeeper-client.ts';

/** A server may grant a few ms; probing more often than this would only make load. */
const MIN_INTERVAL_MS = 50;

/**
 * Asks a live connection something cheap every third of the session timeout, and calls `onSilent` where nothing at all
 * has come back by the next time: a frozen server or a cut cable is noticed within two thirds of the session timeout.
 * (The library pings too, but never looks whether that is answered.) A slow answer behind many others is no silence.
 */
export class ZookeeperProbe {
  readonly #client: ZookeeperClient;
  readonly #path: string;
  readonly #onSilent: (reason: string) => void;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #bytesAtSend = 0;
  #answered = true;

  constructor(client: ZookeeperClient, path: string, onSilent: (reason: string) => void) {
    this.#client = client;
    this.#path = path;
    this.#onSilent = onSilent;
    this.#intervalMs = Math.max(MIN_INTERVAL_MS, Math.floor(client.sessionTimeoutMs / 3));
  }

  start(): void {
    // The judgement waits for an immediate: after a long turn of ours the answer lies in the socket, unread.
    this.#timer = setTimeout(() => setImmediate(() => this.#tick()), this.#intervalMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    if (this.#timer === undefined) return;
    if (this.#client.bytesReceived === this.#bytesAtSend) {
      this.#onSilent(`no sign of life for ${this.#intervalMs} ms`);
      return;
    }
    this.#bytesAtSend = this.#client.bytesReceived;
    if (this.#answered) {
      this.#answered = false;
      this.#client.exists(this.#path, false, () => {
        this.#answered = true;
      });
    }
    this.start();
  }
}
