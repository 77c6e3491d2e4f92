import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomwatchError } from '../core/error';
import type { Project, Projects } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useFollowed } from './useFollowed';

/** Numbers of a project's health have no events. */
const REFRESH_MS = 15_000;

/** Returns a part of `GET /api/projects`. All parts share one query. */
export function useProjectsData<R>(select: (data: Projects) => R): UseQueryResult<R, RoomwatchError> {
  const { client } = useRoomwatch();
  return useFollowed({
    key: ['projects'],
    follows: { kind: 'projects' },
    fetch: ({ signal }) => client.projects(signal),
    select,
    refreshInterval: REFRESH_MS,
  });
}

const projects = (data: Projects) => data.projects;

/**
 * Returns the health of each project. The last webhook follows the stream. The rest is fetched every 15 seconds, and
 * when a condition says that LiveKit went away or came back.
 *
 * @example
 * const { data: projects = [] } = useProjects();
 * return projects.map((p) => <li key={p.name}>{p.name}: {p.state}</li>);
 */
export function useProjects(): UseQueryResult<Project[], RoomwatchError> {
  return useProjectsData(projects);
}
