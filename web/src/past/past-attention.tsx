import { useRoomwatch } from '@roomwatch/react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { ConditionRow, Well } from '@/attention/attention-panel';
import { count } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { ErrorState, Skeleton } from '@/ui/states';
import { useThrottled } from '@/ui/use-throttled';
import { useReplay } from './replay-context';

/** Minimum time between two requests: playback moves the moment many times a second. */
const ASK_EVERY_MS = 500;

/** The conditions that were open at the moment. */
export function PastAttention() {
  const { client } = useRoomwatch();
  const { project } = useSearch({ strict: false }) as { project?: string };
  const { moment } = useReplay();
  const at = useThrottled(moment, ASK_EVERY_MS);
  const { data, error, refetch, isPlaceholderData } = useQuery({
    queryKey: ['attention', 'past', project, at],
    queryFn: ({ signal }) => client.attention({ project, at }, signal),
    enabled: at > 0,
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const conditions = data?.conditions;
  return (
    <Panel
      flush
      label="Needed attention"
      title={conditions?.length ? `Needed attention · ${count(conditions.length)}` : 'Needed attention'}
    >
      {error ? (
        <ErrorState error={error} compact onRetry={() => refetch()} />
      ) : conditions === undefined ? (
        <Skeleton rows={1} />
      ) : conditions.length === 0 ? (
        <Well text="Nothing needed attention." />
      ) : (
        <ul className={isPlaceholderData ? 'divide-y divide-line opacity-70' : 'divide-y divide-line'}>
          {conditions.map((condition) => (
            <ConditionRow key={`${condition.project}/${condition.id}`} condition={condition} past />
          ))}
        </ul>
      )}
    </Panel>
  );
}
