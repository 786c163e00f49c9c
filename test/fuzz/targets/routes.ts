import { BadRouteError, decodeRoute, type Route, sameRoute } from '../../../src/routing/route.ts';
import { formatHostPort, parseHostPort } from '../../../src/wire/host-port.ts';
import { Mutator } from '../mutate.ts';
import { type Case, must, mustEqual, type Outcome } from '../oracle.ts';
import type { Random } from '../random.ts';
import { ones, zeros } from '../surroundings.ts';

/** Longer content is refused by the store, unread. */
const MAX_CONTENT_BYTES = 64 * 1024;
const ADDRESSES = ['127.0.0.1:34601', 'meta-1.example.com:34601', '[2001:db8::1]:65535', 'A:1'];
const STRANGE: readonly unknown[] = [
  ...[null, true, 0, -1, 1e308, '', ' ', ',', ',,', 'a:0', 'a:65536', ':1', 'a', '[::]:1', '[::1]', '256.1.1.1:1'],
  ...['\u0000:1', '\ud800:1', 'é:1', 'a'.repeat(300), `${'a.'.repeat(200)}:1`, 'a:1,a:1,A:1', ' a:1 , b:2 ,'],
  ...[[], {}, [[]], [{}], ['a:1', null], [['a:1']], { 0: 'a:1', length: 1 }, { __proto__: null, toString: 1 }],
  ...[Array.from({ length: 40 }, (_, i) => `m${i}:1`), Array(3000).fill('a:1'), 'a:1,'.repeat(3000)],
];
const FIELDS = ['cluster', 'cluster_name', 'meta-addrs', 'meta_addrs', '__proto__', 'constructor', 'toString', 'x'];

const valid: readonly unknown[] = [
  { cluster: 'c3srv-ad', 'meta-addrs': ['127.0.0.1:34601', '127.0.0.1:34602'] },
  { cluster_name: 'c3srv-ad', meta_addrs: '127.0.0.1:34601,127.0.0.1:34602' },
  { cluster: 'c', 'meta-addrs': ADDRESSES },
  { cluster_name: '集群', meta_addrs: ADDRESSES.join(' , ') },
  { cluster_name: 'c', meta_addrs: 'a:1', region: { x: [1, 2.5e-7, '\ud83d\ude00\n'] } },
];
const texts = new Mutator(
  valid.map((value) => Buffer.from(JSON.stringify(value))),
  () => {},
);

/** The content of a znode, in both layouts: changed as JSON, as bytes, or both. */
export function generateRoutes(random: Random): Case {
  const whole = random.oneIn(2) ? texts.mutated(random) : generateJson(random);
  const content = whole.subarray(0, MAX_CONTENT_BYTES);
  return { input: content, check: () => checkContent(content) };
}

/** Fields of either layout, with values that are right, wrong, or deep. */
function generateJson(random: Random): Buffer {
  const members = Array.from({ length: random.between(1, 5) }, () => {
    const field = random.pick(FIELDS);
    const isCluster = field.startsWith('cluster');
    const good = isCluster ? 'c' : random.oneIn(2) ? ADDRESSES : ADDRESSES.join(',');
    const text = random.oneIn(12) ? nested(random) : JSON.stringify(random.oneIn(3) ? random.pick(STRANGE) : good);
    return `${JSON.stringify(field)}:${text}`;
  });
  if (random.oneIn(2)) members.push('"cluster":"c"', '"meta-addrs":["a:1"]');
  const content = Buffer.from(`{${members.join(random.oneIn(8) ? ' ,\n' : ',')}}`);
  if (random.oneIn(8)) content[random.below(content.length)] = random.below(256);
  return content;
}

function nested(random: Random): string {
  const depth = random.oneIn(20) ? random.between(5_000, 25_000) : random.between(1, 300);
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
    ['[[],', ']'],
  ] as const);
  return `[${open.repeat(depth)}1${close.repeat(random.oneIn(8) ? depth - 1 : depth)}]`;
}

function checkContent(content: Buffer): Outcome {
  const one = attempt(() => decodeRoute(zeros.place(content)));
  const other = attempt(() => decodeRoute(ones.place(content)));
  mustEqual(other, one, 'the result depends on bytes outside of the content');
  if (one instanceof BadRouteError) {
    must(one.message.length < 160, `a message of ${one.message.length} characters`);
    return one.message.replace(/[:(].*$/s, '').trim();
  }
  verifyRoute(one);
  return 'accepted';
}

function attempt(decode: () => Route): Route | BadRouteError {
  try {
    return decode();
  } catch (error) {
    if (error instanceof BadRouteError) return error;
    throw error;
  }
}

/** Whatever was read can be dialled, and written in either layout it is read as the same. */
function verifyRoute(route: Route): void {
  const { cluster, metas } = route;
  must(cluster.length >= 1 && cluster.length <= 255, `a cluster's name of ${cluster.length} characters`);
  must(metas.length >= 1 && metas.length <= 16, `${metas.length} MetaServers`);
  must(new Set(metas).size === metas.length, `a MetaServer twice: ${metas}`);
  for (const meta of metas) {
    const address = parseHostPort(meta);
    must(address !== undefined && formatHostPort(address) === meta, `an address ${meta}`);
  }
  for (const layout of [
    { cluster, 'meta-addrs': metas },
    { cluster_name: cluster, meta_addrs: metas.join(',') },
  ]) {
    must(sameRoute(decodeRoute(Buffer.from(JSON.stringify(layout))), route), 'another route when written anew');
  }
}
