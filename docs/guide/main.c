#include <stdio.h>
#include "student.h"

int main(void)
{
    static const char *const classes[SKKD_N_CLASSES] = {"setosa", "versicolor", "virginica"};
    const float x[SKKD_N_FEATURES] = {5.9f, 3.0f, 4.2f, 1.5f};
    float probabilities[SKKD_N_CLASSES];
    int index = skkd_predict(x, probabilities);
    printf("%s: %.2f\n", classes[index], (double)probabilities[index]);
    return 0;
}
