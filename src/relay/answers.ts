import { queryCfgError } from '../wire/local-response.ts';

/**
 * Every answer that the proxy gives to a query itself, declared once; the documentation is made from this table. All of
 * them are body errors with the RPC layer at ERR_OK: the one form after which no official client hangs or dies.
 * ERR_SERVICE_NOT_ACTIVE is "not now": on it Java and Node.js clients wait a second and ask again.
 */
export const LOCAL_ANSWERS = {
  unknown_table: { err: 'ERR_OBJECT_NOT_FOUND', when: 'The registry says that there is no such table.' },
  bad_table_name: {
    err: 'ERR_OBJECT_NOT_FOUND',
    when: 'The name is not of the form `[A-Za-z0-9_.:]{1,255}`, or dots alone. The registry is not asked for it.',
  },
  unreadable_route: {
    err: 'ERR_INVALID_DATA',
    when: 'The table is in the registry, but its content is no route, and was none since it was first read.',
  },
  registry_unavailable: {
    err: 'ERR_SERVICE_NOT_ACTIVE',
    when: 'The table is not cached, and the registry can not be read or did not answer within the deadline.',
  },
  no_answer: {
    err: 'ERR_SERVICE_NOT_ACTIVE',
    when: 'No MetaServer of the cluster answered within the deadline, or none of them knew a leader.',
  },
  overloaded: {
    err: 'ERR_SERVICE_NOT_ACTIVE',
    when: 'More queries than configuration allows are in flight for this client, or wait for the registry.',
  },
} as const satisfies Record<string, { readonly err: string; readonly when: string }>;

export type LocalAnswer = keyof typeof LOCAL_ANSWERS;

const TEMPLATES = new Map(Object.values(LOCAL_ANSWERS).map(({ err }) => [err, queryCfgError(err)] as const));

/** The whole response frame of a local answer. */
export function localAnswer(answer: LocalAnswer, seqId: number): Buffer {
  return (TEMPLATES.get(LOCAL_ANSWERS[answer].err) as ReturnType<typeof queryCfgError>).withSeqId(seqId);
}
