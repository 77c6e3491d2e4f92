import { useMe, useRooms } from '@roomwatch/react';
import { X } from 'lucide-react';
import { type RefObject, useId, useRef, useState } from 'react';
import { IconButton } from '@/ui/button';
import { cx } from '@/ui/cx';
import { FoundInput } from '@/ui/found-input';
import { ProjectSelect } from '@/ui/project-select';
import { TypedInput } from '@/ui/typed-input';
import { TOPIC_ICONS } from './event-icon';
import { type EventSearch, patternsOf, TYPE_GROUPS, toggleGroup, typedPatterns, withTyped } from './event-search';

/** Maximum suggested names. */
const SUGGESTED_MAX = 200;

/** Filters of the Events page: groups of types (also the legend), exact types, room, project. */
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
  const [suggest, setSuggest] = useState(false);
  const listId = useId();
  const chosen = patternsOf(filter.type);
  const empty = Object.values(filter).every((value) => value === undefined);
  return (
    <search aria-label="Filter events" className="mb-3 flex flex-wrap items-center gap-2">
      <fieldset className="flex flex-wrap gap-y-1 max-sm:order-first max-sm:grid max-sm:w-full max-sm:grid-cols-3">
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
                'relative -ml-px inline-flex h-8 items-center gap-1.5 border px-2.5 font-medium first-of-type:ml-0 first-of-type:rounded-l-md last:rounded-r-md max-lg:px-1.5 max-sm:justify-center',
                on
                  ? 'z-1 border-accent bg-accent-soft text-accent'
                  : 'border-line-strong bg-surface text-ink-2 hover:bg-hover hover:text-ink',
              )}
            >
              <Icon size={13} aria-hidden />
              {name}
            </button>
          );
        })}
      </fieldset>
      <TypedInput
        label="Event types; * matches any characters"
        placeholder="Event type, e.g. track_*"
        className="w-40 max-sm:min-w-0 max-sm:flex-1"
        value={typedPatterns(filter.type)}
        onType={(value) => onChange({ ...filter, type: withTyped(filter.type, value) })}
      />
      <div className="w-40 max-sm:min-w-0 max-sm:flex-1">
        <TypedInput
          inputRef={roomInput}
          label="Room (exact name)"
          placeholder="Room"
          hotkey="/"
          list={listId}
          value={filter.room ?? ''}
          onFocus={() => setSuggest(true)}
          onBlur={() => setSuggest(false)}
          onType={(value) => onChange({ ...filter, room: value || undefined })}
        />
        {suggest ? <RoomNames id={listId} /> : null}
      </div>
      <FoundInput
        kind="identity"
        label="Participant (exact identity)"
        placeholder="Participant"
        className="w-40 max-sm:min-w-0 max-sm:flex-1"
        value={filter.participant ?? ''}
        onType={(value) => onChange({ ...filter, participant: value || undefined })}
      />
      <ProjectSelect
        projects={projects}
        value={filter.project}
        onChange={(project) => onChange({ ...filter, project })}
      />
      {empty ? null : (
        <IconButton
          label="Clear the filters"
          onClick={() => onChange({ room: undefined, type: undefined, participant: undefined, project: undefined })}
        >
          <X size={14} />
        </IconButton>
      )}
    </search>
  );
}

/** Names of live rooms as suggestions. Only mounted while the field has the focus: following the rooms costs work. */
function RoomNames({ id }: { id: string }) {
  const { data: rooms } = useRooms();
  const first = useRef(rooms);
  // The suggestions do not change while the user chooses.
  first.current ??= rooms;
  const names = [...new Set(first.current?.map((room) => room.name))].slice(0, SUGGESTED_MAX);
  return (
    <datalist id={id}>
      {names.map((name) => (
        <option key={name} value={name} />
      ))}
    </datalist>
  );
}
