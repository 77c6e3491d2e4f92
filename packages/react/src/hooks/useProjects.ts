import { type UseQueryResult, useQuery } from '@tanstack/react-query';

import type { RoomwatchError } from '../core/error';
import type { Project } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';

/** Health of each project. */
export function useProjects(): UseQueryResult<Project[], RoomwatchError> {
  const { client, keyPrefix } = useRoomwatch();
  return useQuery({
    queryKey: [...keyPrefix, 'projects'],
    queryFn: ({ signal }) => client.projects(signal).then((answer) => answer.projects),
  });
}
