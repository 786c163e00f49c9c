import { pino } from 'pino';
import type { ZnodeEvent } from '../../src/routing/zookeeper-client.ts';
import { ZookeeperSession, type ZookeeperSessionOptions } from '../../src/routing/zookeeper-session.ts';
import { waitFor } from './wait-for.ts';

/** One line of a captured log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A logger that keeps its lines. */
export function captureLog(): { log: pino.Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(JSON.parse(line) as LogLine) });
  return { log, lines };
}

/** A session, and what it has told; retries fast, as a test wants it. */
export class SessionHarness {
  readonly session: ZookeeperSession;
  readonly lines: LogLine[];
  readonly losses: string[] = [];
  readonly events: string[] = [];
  /** Times it went live. */
  lives = 0;
  /** `performance.now()` of the last loss. */
  lostAt = 0;
  liveAt = 0;

  constructor(servers: string, options: Partial<ZookeeperSessionOptions> = {}) {
    const { log, lines } = captureLog();
    this.lines = lines;
    this.session = new ZookeeperSession(
      {
        servers,
        sessionTimeoutMs: 3_000,
        operationTimeoutMs: 2_000,
        probePath: '/zookeeper',
        backoffMinMs: 20,
        backoffMaxMs: 200,
        connectTimeoutMs: 500,
        ...options,
      },
      log,
      {
        onLive: () => {
          this.lives += 1;
          this.liveAt = performance.now();
        },
        onLost: (reason) => {
          this.losses.push(reason);
          this.lostAt = performance.now();
        },
        onEvent: (event: ZnodeEvent, path: string) => this.events.push(`${event} ${path}`),
      },
    );
  }

  /** Resolves when it is live for the nth time. */
  async live(times = 1): Promise<void> {
    await waitFor(() => this.lives >= times && this.session.live, { timeoutMs: 30_000, what: `live, time ${times}` });
  }

  async lost(times = 1): Promise<void> {
    await waitFor(() => this.losses.length >= times, { timeoutMs: 30_000, what: `loss ${times}` });
  }

  async event(text: string): Promise<void> {
    await waitFor(() => this.events.includes(text), { what: `the event "${text}"` });
  }

  /** The content of a node as text; undefined where there is none. */
  async read(path: string, watch = true): Promise<string | undefined> {
    return (await this.session.getData(path, watch))?.content.toString();
  }

  logged(message: string): LogLine[] {
    return this.lines.filter((line) => line.msg.includes(message));
  }
}
