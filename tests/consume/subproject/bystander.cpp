// Knows nothing of kith and needs none of its flags: an old habit like this one must still compile.
int main() {
    int unused = 3.5;
    return 0;
}
