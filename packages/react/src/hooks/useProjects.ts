import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomwatchError } from '../core/error';
import type { Project } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useFollowed } from './useFollowed';

/** The health of LiveKit has no events. */
const REFRESH_MS = 15_000;

const projects = (data: { projects: Project[] }) => data.projects;

/**
 * Returns the health of each project. The last webhook follows the stream; the rest is fetched every 15 seconds.
 *
 * @example
 * const { data: projects = [] } = useProjects();
 * return projects.map((p) => <li key={p.name}>{p.name}: {p.state}</li>);
 */
export function useProjects(): UseQueryResult<Project[], RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed({
    key: ['projects'],
    follows: { kind: 'projects' },
    fetch: ({ signal }) => client.projects(signal),
    select: projects,
    refreshInterval: REFRESH_MS,
  });
}
