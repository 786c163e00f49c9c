import { setTimeout as delay } from 'node:timers/promises';
import type { TableAnswer } from './demo-client.ts';
import { DemoFailure, within } from './demo-failure.ts';
import type { Stage } from './stage.ts';

const INTERVAL_MS = 1_000;

/** After the tour: asks for every table once a second, and tells whenever an answer comes from somewhere else. */
export class LiveView {
  readonly #stage: Stage;
  /** What was last told of each table. */
  readonly #told = new Map<string, string>();
  #tables: readonly string[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Says what one can try. */
  introduce(): void {
    const { screen, client, registry, configPath, proxy } = this.#stage;
    const { how, command } = registry.byHand('orders', 'west', 'east');
    screen.say(`Everything stays up until Ctrl-C. Move orders back to east by hand: ${how}`);
    screen.verbatim(command);
    screen.say(
      'Or add a table that no cluster has, take one away, write something unreadable. Or give a Pegasus client of your ' +
        `own ${client.address} as its only MetaServer: it can read and write the three tables.`,
    );
    screen.facts([
      ['proxy', `${client.address} (pid ${proxy.pid})`],
      ['configuration', configPath],
      ['registry', registry.name],
    ]);
    screen.say('Each table is asked for once a second; what changes is shown here. Ctrl-C ends it all.');
  }

  /** Runs until the proxy ends or hangs up, which is a failure. */
  async run(): Promise<never> {
    const { proxy, screen } = this.#stage;
    screen.log(proxy.takeLines());
    proxy.onLine = (line) => screen.log([line]);
    for (;;) {
      await this.#round();
      const end = await Promise.race([proxy.ended, delay(INTERVAL_MS, undefined)]);
      if (end !== undefined) throw new DemoFailure(`the proxy has ended: ${end}`);
    }
  }

  async #round(): Promise<void> {
    const { client, registry } = this.#stage;
    // A registry that can't be read at the moment: the proxy goes on with what it knows, and so does this.
    this.#tables = await within(INTERVAL_MS, registry.name, registry.tables()).catch(() => this.#tables);
    for (const table of new Set([...this.#told.keys(), ...this.#tables])) this.#tell(await client.query(table));
  }

  #tell(answer: TableAnswer): void {
    const { screen, clusters } = this.#stage;
    const { table, err, appId, partitionCount } = answer;
    const now = err === 'ERR_OK' ? (clusters.clusterOf(answer) ?? 'an unknown cluster') : err;
    const before = this.#told.get(table);
    if (before === now) return;
    this.#told.set(table, now);
    const what = before === undefined ? now : `${before} -> ${now}`;
    const detail = err === 'ERR_OK' ? `app id ${appId}, ${partitionCount} partitions` : '';
    const time = new Date().toISOString().slice(11, 19);
    screen.event(`${time}  ${table.padEnd(14)}  ${what.padEnd(28)}  ${detail}`.trimEnd());
  }
}
