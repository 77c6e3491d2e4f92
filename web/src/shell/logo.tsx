export function Logo() {
  return (
    <svg viewBox="0 0 32 32" className="size-6 shrink-0" aria-hidden>
      <rect width="32" height="32" rx="8" className="fill-solid" />
      <path
        d="M9 23V9h8.2a4.6 4.6 0 0 1 1.4 9L23 23"
        fill="none"
        className="stroke-on-solid"
        strokeWidth="2.6"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
      <circle cx="23.5" cy="9" r="3.2" className="fill-good-fill" />
    </svg>
  );
}
