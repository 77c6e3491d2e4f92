import { useMe, useRooms } from '@roomwatch/react';
import { X } from 'lucide-react';
import { type RefObject, useId, useState } from 'react';
import { TOPIC_ICONS } from '@/components/event-feed';
import { TypedInput } from '@/components/typed-input';
import { type EventSearch, patternsOf, TYPE_GROUPS, toggleGroup, typedPatterns, withTyped } from '@/lib/event-filter';
import { IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { Select } from '@/ui/field';

/** More names are no help in choosing one. */
const SUGGESTED_MAX = 200;

/** Which events: the groups with their shapes (they are the legend too), exact types, one room, one project. */
export function EventFilters({
  filter,
  roomInput,
  onChange,
}: {
  filter: EventSearch;
  roomInput: RefObject<HTMLInputElement | null>;
  onChange: (next: EventSearch) => void;
}) {
  const projects = useMe().data?.projects ?? [];
  const { data: rooms } = useRooms();
  const [suggest, setSuggest] = useState(false);
  const listId = useId();
  const chosen = patternsOf(filter.type);
  const empty = filter.room === undefined && filter.type === undefined && filter.project === undefined;
  return (
    <div role="search" aria-label="Filter events" className="mb-3 flex flex-wrap items-center gap-2">
      <fieldset className="flex flex-wrap">
        <legend className="sr-only">Types of events</legend>
        {TYPE_GROUPS.map(({ pattern, name, topic }) => {
          const Icon = TOPIC_ICONS[topic];
          const on = chosen.includes(pattern);
          return (
            <button
              key={pattern}
              type="button"
              aria-pressed={on}
              title={pattern}
              onClick={() => onChange({ ...filter, type: toggleGroup(filter.type, pattern) })}
              className={cx(
                'relative -ml-px inline-flex h-8 items-center gap-1.5 border px-2.5 font-medium first-of-type:ml-0 first-of-type:rounded-l-md last:rounded-r-md max-sm:px-2',
                on
                  ? 'z-1 border-accent bg-accent-soft text-accent'
                  : 'border-line-strong bg-surface text-ink-2 hover:bg-hover hover:text-ink',
              )}
            >
              <Icon size={13} aria-hidden />
              <span className="max-lg:sr-only">{name}</span>
            </button>
          );
        })}
      </fieldset>
      <TypedInput
        label="Types, with * for any run"
        placeholder="Type, e.g. *_muted"
        className="w-44 max-sm:w-[calc(50%-0.25rem)]"
        value={typedPatterns(filter.type)}
        onType={(value) => onChange({ ...filter, type: withTyped(filter.type, value) })}
      />
      <div className="w-48 max-sm:w-[calc(50%-0.25rem)]">
        <TypedInput
          inputRef={roomInput}
          label="Room, by its exact name"
          placeholder="Room"
          hotkey="/"
          list={listId}
          value={filter.room ?? ''}
          onFocus={() => setSuggest(true)}
          onType={(value) => onChange({ ...filter, room: value || undefined })}
        />
        <datalist id={listId}>
          {suggest
            ? [...new Set(rooms?.map((room) => room.name))]
                .slice(0, SUGGESTED_MAX)
                .map((name) => <option key={name} value={name} />)
            : null}
        </datalist>
      </div>
      {projects.length > 1 ? (
        <Select
          aria-label="Project"
          value={filter.project ?? ''}
          onChange={(event) => onChange({ ...filter, project: event.target.value || undefined })}
        >
          <option value="">All projects</option>
          {projects.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </Select>
      ) : null}
      {empty ? null : (
        <IconButton
          label="Clear the filters"
          onClick={() => onChange({ room: undefined, type: undefined, project: undefined })}
        >
          <X size={14} />
        </IconButton>
      )}
    </div>
  );
}
