/* Keeps what a call has failed with, for the calling thread. */
void relink_keep_error(const char *code, const char *text);
