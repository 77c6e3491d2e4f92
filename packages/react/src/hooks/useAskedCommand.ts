import { type UseMutationResult, useMutation, useQueryClient } from '@tanstack/react-query';
import type { RoomwatchClient } from '../core/client';
import type { RoomwatchError } from '../core/error';
import { useRoomwatch } from '../RoomwatchProvider';

/** Returns a mutation whose effect no event carries: the query with this key asks again, also after an error. */
export function useAskedCommand<V, R>(
  run: (client: RoomwatchClient, vars: V) => Promise<R>,
  keyOf: (vars: V) => readonly unknown[],
): UseMutationResult<R, RoomwatchError, V> {
  const { client, keyPrefix } = useRoomwatch();
  const queryClient = useQueryClient();
  return useMutation({
    networkMode: 'always',
    mutationFn: (vars) => run(client, vars),
    onSettled: (_answer, _error, vars) => queryClient.invalidateQueries({ queryKey: [...keyPrefix, ...keyOf(vars)] }),
  });
}
