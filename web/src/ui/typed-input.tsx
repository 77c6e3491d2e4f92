import { type ChangeEvent, type ComponentProps, type RefObject, useEffect, useRef, useState } from 'react';
import { Input, SearchInput } from './field';

/** Pause in typing after which the text is reported. */
const TYPING_MS = 300;

/** Text field that shows the text at once, and reports it when the typing pauses. */
export function TypedInput({
  value,
  onType,
  label,
  hotkey,
  inputRef,
  className,
  ...props
}: Omit<ComponentProps<'input'>, 'value'> & {
  value: string;
  onType: (value: string) => void;
  label: string;
  hotkey?: string;
  inputRef?: RefObject<HTMLInputElement | null>;
}) {
  const [typed, setTyped] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // Only a change from outside (Back, "clear") replaces the text, not the echo of the typing.
  const reported = useRef(value);
  useEffect(() => {
    if (value !== reported.current) setTyped(value);
    reported.current = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const change = (event: ChangeEvent<HTMLInputElement>) => {
    const next = event.target.value;
    setTyped(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      reported.current = next.trim();
      onType(next.trim());
    }, TYPING_MS);
  };
  return hotkey ? (
    <SearchInput
      {...props}
      ref={inputRef}
      className={className}
      label={label}
      hotkey={hotkey}
      value={typed}
      onChange={change}
    />
  ) : (
    <div className={className}>
      <Input {...props} aria-label={label} autoComplete="off" spellCheck={false} value={typed} onChange={change} />
    </div>
  );
}
