import { LOCAL_ANSWERS } from '../relay/answers.ts';
import { METRICS, type MetricDeclaration } from '../telemetry/metrics.ts';

/** The answers that the proxy gives itself, as a table for the documentation. */
export function renderLocalAnswers(): string {
  const rows = Object.entries(LOCAL_ANSWERS).map(([name, { err, when }]) => `| ${when} | \`${err}\` | \`${name}\` |`);
  return ['| When | `err` | In logs and metrics |', '|---|---|---|', ...rows].join('\n');
}

/** Every metric, as a table for the documentation. */
export function renderMetrics(): string {
  const rows = Object.values<MetricDeclaration>(METRICS).map(
    ({ name, kind, label, help }) =>
      `| \`${name}\`${label === undefined ? '' : ` \`{${label}}\``} | ${kindOf(kind)} | ${help} |`,
  );
  return ['| Metric | Kind | Meaning |', '|---|---|---|', ...rows].join('\n');
}

function kindOf(kind: MetricDeclaration['kind']): string {
  return kind === 'gauge' ? 'gauge' : 'counter';
}
