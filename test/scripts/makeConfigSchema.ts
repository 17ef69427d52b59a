/**
 * Writes the published JSON schema of `*.avis.json` from the zod schema that reads such files.
 *
 *   npx tsx test/scripts/makeConfigSchema.ts
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as prettier from 'prettier';
import * as z from 'zod';
import { configSchema } from '../../src/avis/config';

export const schemaFile = fileURLToPath(
  new URL('../../media/avis-config.schema.json', import.meta.url),
);

/** Draft 7, which VS Code's JSON support knows best; formatted as the repository is. */
export async function configJsonSchema(): Promise<string> {
  const schema = z.toJSONSchema(configSchema, { target: 'draft-7' });
  const options = await prettier.resolveConfig(schemaFile);
  return prettier.format(JSON.stringify(schema), { ...options, filepath: schemaFile });
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  writeFileSync(schemaFile, await configJsonSchema());
}
