/** The text of a script that the build made, in modules of which one file is all (webruntime/scripts/npm-package.mjs). */
declare module "gemtab:*" {
  const text: string;
  export default text;
}
