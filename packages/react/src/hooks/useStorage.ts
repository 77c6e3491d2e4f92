import type { UseQueryResult } from '@tanstack/react-query';
import type { RoomwatchError } from '../core/error';
import type { Projects, StorageSpace } from '../core/wire';
import { useProjectsData } from './useProjects';

const storage = (data: Projects) => data.storage;

/**
 * Returns the space that Roomwatch uses on the disk, every 15 seconds. It is null for a caller who is not an operator.
 *
 * @example
 * const { data: space } = useStorage();
 * return space ? <p>{space.freeBytes} bytes free</p> : null;
 */
export function useStorage(): UseQueryResult<StorageSpace | null, RoomwatchError> {
  return useProjectsData(storage);
}
