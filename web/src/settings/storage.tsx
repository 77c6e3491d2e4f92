import { type StorageSpace, useStorage } from '@roomwatch/react';
import { bytes, count, plural } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { Unknown } from '@/ui/states';

/** The time that the limit has space for, in words. */
export function limitWords({ limitDays }: StorageSpace): string | null {
  if (limitDays === null) return null;
  if (limitDays >= 3_650) return 'more than ten years at today’s rate';
  if (limitDays < 1) return 'less than a day at today’s rate';
  return `about ${plural(Math.round(limitDays), 'day')} at today’s rate`;
}

/** The space that Roomwatch uses on the disk. Only operators see it. */
export function Storage() {
  const { data: space } = useStorage();
  if (!space) return null;
  const { usedBytes, limitBytes, freeBytes, diskBytes, retentionDays, limitDays } = space;
  const used = limitBytes ? Math.min(1, usedBytes / limitBytes) : null;
  const isShort = limitDays !== null && retentionDays !== null && limitDays < retentionDays;
  return (
    <Panel title="Storage">
      <dl className="grid grid-cols-[9rem_minmax(0,1fr)] gap-x-4 gap-y-1.5 max-sm:grid-cols-1">
        <dt className="text-ink-3">Used</dt>
        <dd>
          {bytes(usedBytes)}
          {limitBytes === null ? ', no limit set' : ` of ${bytes(limitBytes)}`}
          {used === null ? null : (
            <div aria-hidden className="mt-1.5 h-1.5 max-w-72 overflow-hidden rounded-full bg-sunken">
              <div
                className={used >= 0.95 ? 'h-full bg-bad' : 'h-full bg-accent'}
                style={{ width: `${Math.max(1, used * 100)}%` }}
              />
            </div>
          )}
        </dd>
        {limitBytes === null ? null : (
          <>
            <dt className="text-ink-3">Limit lasts</dt>
            <dd className={isShort ? 'text-warn' : undefined}>
              {limitWords(space) ?? <Unknown why="Too few events to tell" />}
              {isShort ? `. Events are deleted before ${count(retentionDays)} days` : null}
            </dd>
          </>
        )}
        <dt className="text-ink-3">Events are kept</dt>
        <dd>{retentionDays === null ? 'without a limit of time' : `for ${plural(retentionDays, 'day')}`}</dd>
        <dt className="text-ink-3">Disk</dt>
        <dd>
          {bytes(freeBytes)} free of {bytes(diskBytes)}
        </dd>
      </dl>
    </Panel>
  );
}
