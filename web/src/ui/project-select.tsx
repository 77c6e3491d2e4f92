import { Select } from './field';

/** Filter by project. Nothing with a single project. */
export function ProjectSelect({
  projects,
  value,
  onChange,
}: {
  projects: string[];
  value: string | undefined;
  onChange: (project: string | undefined) => void;
}) {
  if (projects.length < 2) return null;
  return (
    <Select aria-label="Project" value={value ?? ''} onChange={({ target }) => onChange(target.value || undefined)}>
      <option value="">All projects</option>
      {projects.map((name) => (
        <option key={name}>{name}</option>
      ))}
    </Select>
  );
}
