import { useRoomwatch } from '@roomwatch/react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { type ComponentProps, useId, useState } from 'react';
import { TypedInput } from './typed-input';

/** A text of one character finds everything. */
const CHARS_MIN = 2;

/**
 * Text field for the name of a room or for an identity, with suggestions of the search: a part of a name, in any case
 * and script, suggests what has it.
 */
export function FoundInput({
  kind,
  onType,
  ...props
}: Omit<ComponentProps<typeof TypedInput>, 'list'> & { kind: 'room' | 'identity' }) {
  const { client } = useRoomwatch();
  const listId = useId();
  const [typed, setTyped] = useState('');
  const { data } = useQuery({
    queryKey: ['search', typed],
    queryFn: ({ signal }) => client.search(typed, signal),
    enabled: typed.length >= CHARS_MIN,
    placeholderData: keepPreviousData,
    staleTime: 10_000,
  });
  const found = typed.length >= CHARS_MIN ? data?.results.filter((one) => one.kind === kind) : undefined;
  const options = new Map(
    found?.map(({ room, identity, name }) => (kind === 'room' ? [room, ''] : [identity ?? '', name ?? ''])),
  );
  return (
    <>
      <TypedInput
        {...props}
        list={listId}
        onType={(value) => {
          setTyped(value);
          onType(value);
        }}
      />
      <datalist id={listId}>
        {[...options].map(([value, label]) => (
          // The browser compares what is typed with the label too.
          <option key={value} value={value} label={label && `${label} · ${value}`} />
        ))}
      </datalist>
    </>
  );
}
